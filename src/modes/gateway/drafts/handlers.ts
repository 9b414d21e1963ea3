import { create, type Message } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import type { WorkspaceSelector } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
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
  ReportOneTimeRuleUsedResponseSchema,
  RetryDraftChunkResponseSchema,
  UndoDraftChunkResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { principalKey, sandboxPrincipal } from "../auth/principal.ts";
import { approveChunk, type Revision } from "./approve.ts";
import { approveAll, type BulkResult } from "./approve-all.ts";
import type { DraftContext, DraftSandbox } from "./context.ts";
import { clearChunks, editChunk, rejectChunk, retryChunk, undoChunk } from "./decide.ts";
import { type Drafts, openDrafts } from "./drafts.ts";
import { grantUsed } from "./lifetime.ts";
import { listDrafts } from "./list.ts";
import { advisorMode } from "./settings.ts";
import { settleAndAnnounce } from "./settle.ts";
import { submitAnalysis } from "./submit.ts";

/** The methods of the API that are about drafts. Who may call them is decided before, by the method options. */
export function draftHandlers(context: DraftContext, drafts: Drafts = openDrafts(context)): Partial<ServiceImpl<typeof OpenShell>> {
  const once: NonNullable<DraftContext["once"]> = context.once ?? ((_request, _call, run) => run());
  const later: NonNullable<DraftContext["replay"]> = context.replay ?? ((_request, _call, run) => run(() => {}));
  /** A decision that does not wait; what expired before it stays expired when it is refused. */
  const decide = <O extends Message>(
    request: Message & { requestId: string; workspaceScope?: WorkspaceSelector | undefined; sandbox: string },
    call: HandlerContext,
    run: (sandbox: DraftSandbox, actor: string) => O,
  ): O => {
    const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
    settleAndAnnounce(drafts, sandbox.id);
    return once(request, call, () => run(sandbox, person(call)));
  };
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
    reportOneTimeRuleUsed: async ({ grantId }, call) => {
      grantUsed(drafts, sandboxPrincipal(call).sandboxId, grantId);
      return create(ReportOneTimeRuleUsedResponseSchema);
    },
    getDraftPolicy: async (request, call) => {
      const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
      return listDrafts(drafts, sandbox, request, call.values.get(principalKey).kind === "user");
    },
    approveDraftChunk: (request, call) =>
      later(request, call, async (remember) => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        const approval = { chunkId: request.chunkId, reviewToken: request.reviewToken, actor: person(call) };
        const answer = ({ version, hash }: Revision) =>
          create(ApproveDraftChunkResponseSchema, { policyVersion: version, policyHash: hash });
        return answer(await approveChunk(drafts, sandbox, approval, request.lifetime, (revision) => remember(answer(revision))));
      }),
    approveAllDraftChunks: (request, call) =>
      later(request, call, async (remember) => {
        const sandbox = context.sandboxes.find(request.workspaceScope, request.sandbox);
        const bulk = { approvals: request.approvals, includeFlagged: request.includeSecurityFlagged, actor: person(call) };
        const answer = ({ revision, approved, skipped }: BulkResult) =>
          create(ApproveAllDraftChunksResponseSchema, {
            policyVersion: revision.version,
            policyHash: revision.hash,
            chunksApproved: approved,
            chunksSkipped: skipped.length,
            skipped: skipped.map(({ chunkId, reason }) => ({ chunkId, reason })),
          });
        return answer(await approveAll(drafts, sandbox, bulk, (result) => remember(answer(result))));
      }),
    rejectDraftChunk: (request, call) =>
      decide(request, call, (sandbox, actor) => {
        rejectChunk(drafts, sandbox, { chunkId: request.chunkId, reason: request.reason, actor });
        return create(RejectDraftChunkResponseSchema);
      }),
    editDraftChunk: (request, call) =>
      decide(request, call, (sandbox, actor) => {
        const { chunkId, proposedRule: rule, reviewToken } = request;
        editChunk(drafts, sandbox, { chunkId, rule, reviewToken, actor });
        return create(EditDraftChunkResponseSchema);
      }),
    undoDraftChunk: (request, call) =>
      decide(request, call, (sandbox, actor) => {
        const { version, hash } = undoChunk(drafts, sandbox, { chunkId: request.chunkId, actor });
        return create(UndoDraftChunkResponseSchema, { policyVersion: version, policyHash: hash });
      }),
    retryDraftChunk: (request, call) =>
      decide(request, call, (sandbox, actor) => {
        retryChunk(drafts, sandbox, { chunkId: request.chunkId, actor });
        return create(RetryDraftChunkResponseSchema);
      }),
    clearDraftChunks: (request, call) =>
      decide(request, call, (sandbox, actor) =>
        create(ClearDraftChunksResponseSchema, { chunksCleared: clearChunks(drafts, sandbox, actor) }),
      ),
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
