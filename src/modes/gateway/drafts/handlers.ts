import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { SettingScope } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  ApproveAllDraftChunksResponseSchema,
  ApproveDraftChunkResponseSchema,
  ClearDraftChunksResponseSchema,
  EditDraftChunkResponseSchema,
  GetDraftHistoryResponseSchema,
  GetPolicyAdvisorStatusResponseSchema,
  type OpenShell,
  RejectDraftChunkResponseSchema,
  RetryDraftChunkResponseSchema,
  UndoDraftChunkResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { principalKey } from "../auth/principal.ts";
import { approveChunk } from "./approve.ts";
import { approveAll } from "./approve-all.ts";
import type { DraftContext } from "./context.ts";
import { clearChunks, editChunk, rejectChunk, retryChunk, undoChunk } from "./decide.ts";
import { type Drafts, openDrafts } from "./drafts.ts";
import { listDrafts } from "./list.ts";
import { advisorMode } from "./settings.ts";
import { submitAnalysis } from "./submit.ts";

/** The methods of the API that are about drafts. Who may call them is decided before, by the method options. */
export function draftHandlers(context: DraftContext, drafts: Drafts = openDrafts(context)): Partial<ServiceImpl<typeof OpenShell>> {
  const once = <O>(request: { readonly requestId: string }, call: HandlerContext, run: () => Promise<O>): Promise<O> =>
    context.replay && request.requestId !== "" ? context.replay(request, call, run) : run();
  return {
    submitPolicyAnalysis: async (request, call) => {
      const sandbox = context.sandboxes.find(request.workspaceScope, request.name);
      const principal = call.values.get(principalKey);
      // The interceptor has said so already; a proposal in another sandbox's name must not depend on one check.
      if (principal.kind !== "sandbox" || principal.token === "agent" || principal.sandboxId !== sandbox.id) {
        throw new OpenShellError("permission_denied", "only the supervisor of a sandbox may submit for it");
      }
      return submitAnalysis(drafts, sandbox, request);
    },
    getDraftPolicy: async (request, call) => {
      const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
      return listDrafts(drafts, sandbox, request, call.values.get(principalKey).kind === "user");
    },
    approveDraftChunk: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        const approval = { chunkId: request.chunkId, reviewToken: request.reviewToken, actor: person(call) };
        const { version, hash } = await approveChunk(drafts, sandbox, approval, request.lifetime);
        return create(ApproveDraftChunkResponseSchema, { policyVersion: version, policyHash: hash });
      }),
    approveAllDraftChunks: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        const bulk = { approvals: request.approvals, includeFlagged: request.includeSecurityFlagged, actor: person(call) };
        const { revision, approved, skipped } = await approveAll(drafts, sandbox, bulk);
        return create(ApproveAllDraftChunksResponseSchema, {
          policyVersion: revision.version,
          policyHash: revision.hash,
          chunksApproved: approved,
          chunksSkipped: skipped.length,
          skipped: skipped.map(({ chunkId, reason }) => ({ chunkId, reason })),
        });
      }),
    rejectDraftChunk: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        rejectChunk(drafts, sandbox, { chunkId: request.chunkId, reason: request.reason, actor: person(call) });
        return create(RejectDraftChunkResponseSchema);
      }),
    editDraftChunk: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        editChunk(drafts, sandbox, {
          chunkId: request.chunkId,
          rule: request.proposedRule,
          reviewToken: request.reviewToken,
          actor: person(call),
        });
        return create(EditDraftChunkResponseSchema);
      }),
    undoDraftChunk: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        const { version, hash } = undoChunk(drafts, sandbox, { chunkId: request.chunkId, actor: person(call) });
        return create(UndoDraftChunkResponseSchema, { policyVersion: version, policyHash: hash });
      }),
    retryDraftChunk: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        retryChunk(drafts, sandbox, { chunkId: request.chunkId, actor: person(call) });
        return create(RetryDraftChunkResponseSchema);
      }),
    clearDraftChunks: (request, call) =>
      once(request, call, async () => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        return create(ClearDraftChunksResponseSchema, { chunksCleared: clearChunks(drafts, sandbox, person(call)) });
      }),
    getDraftHistory: async (request) => {
      const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
      const entries = drafts.repository.history(sandbox.id).map(({ time, ...entry }) => ({ ...entry, eventTime: timestampFromMs(time) }));
      return create(GetDraftHistoryResponseSchema, { entries });
    },
    getPolicyAdvisorStatus: async (request) => {
      const sandbox = request.sandbox === "" ? undefined : context.sandboxes.find(request.workspaceScope, request.sandbox);
      const id = sandbox?.id ?? "";
      const scope = context.settings.scope?.(id, "policy_advisor");
      return create(GetPolicyAdvisorStatusResponseSchema, {
        mode: advisorMode(context, id),
        scope: scope === "sandbox" ? SettingScope.SANDBOX : scope === "gateway" ? SettingScope.GLOBAL : SettingScope.UNSPECIFIED,
        pendingChunks: drafts.repository.pending(id).length,
        overflowCount: BigInt(drafts.repository.counters(id).overflowCount),
      });
    },
  };
}

/** Who decides, for the history. */
function person(call: HandlerContext): string {
  const principal = call.values.get(principalKey);
  if (principal.kind !== "user") throw new OpenShellError("permission_denied", "only a person may decide on proposals");
  return principal.subject;
}
