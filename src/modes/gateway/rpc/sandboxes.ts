import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { policyToProto } from "../../../policy/proto.ts";
import {
  type CreateSandboxRequest,
  type DeleteSandboxResponse,
  DeleteSandboxResponseSchema,
  DeletionOutcome,
  type Sandbox,
  SandboxPhase,
  type SandboxResponse,
  SandboxResponseSchema,
  SandboxSchema,
  SandboxSpecSchema,
  SandboxStatusSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { checkSandboxName } from "../../../sandbox-name.ts";
import type { GatewayContext } from "../context.ts";
import { allocateUid } from "../drivers/local/uids.ts";
import { admitPolicy } from "../policies/admit.ts";
import { requestedUid } from "../sandboxes/agent-uid.ts";
import { checkHostPaths, settledMounts } from "../sandboxes/host-paths.ts";
import { transition } from "../sandboxes/lifecycle.ts";
import { petname } from "../sandboxes/names.ts";
import { validateCreate } from "../sandboxes/validate-spec.ts";
import * as view from "../sandboxes/view.ts";
import { anyWorkspace, oneWorkspace } from "../sandboxes/workspace.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { labelSelector } from "./labels.ts";
import { MAX_PAGE_BYTES, pageSize, pageToken, readPageToken } from "./paging.ts";
import type { Handlers } from "./service-impl.ts";

/** Create, read, list, stop, start and delete sandboxes. */
export function sandboxHandlers(context: GatewayContext): Handlers {
  const { sandboxes, sessions, repository, once, replay } = context;
  const toSandbox = (record: SandboxRecord): Sandbox => view.toSandbox(record, sessions);
  return {
    createSandbox(request, call) {
      let created: SandboxRecord | undefined;
      const response = once(request, call, () => {
        created = newSandbox(context, request);
        return create(SandboxResponseSchema, { sandbox: toSandbox(created) });
      });
      // Started after the record is durable; a replayed answer starts nothing.
      if (created !== undefined) void sandboxes.launch(created, { attended: request.awaitMainProcessAttachment });
      return response;
    },

    getSandbox: ({ workspaceScope, name }) => ({ sandbox: toSandbox(sandboxes.find(workspaceScope, name).record) }),

    listSandboxes(request) {
      const workspace = anyWorkspace(request.workspaceScope);
      const size = pageSize(request.pageSize);
      const matches = labelSelector(request.labelSelector);
      const parameters = [workspace ?? "*", request.labelSelector, String(size)];
      const [afterWorkspace = "", afterName = ""] = readPageToken(request.pageToken, parameters) ?? [];
      const page: Sandbox[] = [];
      let bytes = 0;
      let last: readonly [string, string] = [afterWorkspace, afterName];
      for (const record of after(repository, workspace, last)) {
        const sandbox = matches(record.labels) ? toSandbox(record) : undefined;
        const length = sandbox === undefined ? 0 : toBinary(SandboxSchema, sandbox).length;
        if (page.length === size || (page.length > 0 && bytes + length > MAX_PAGE_BYTES)) {
          return { sandboxes: page, nextPageToken: pageToken(last, parameters) };
        }
        last = [record.workspace, record.name];
        bytes += length;
        if (sandbox !== undefined) page.push(sandbox);
      }
      return { sandboxes: page };
    },

    deleteSandbox: (request, call) =>
      replay<DeleteSandboxResponse>(request, call, async (remember) => {
        try {
          const { id, record } = sandboxes.find(request.workspaceScope, request.name);
          const answer = create(DeleteSandboxResponseSchema, { outcome: DeletionOutcome.COMPLETED, sandboxId: id });
          // Once it is marked it will be gone, also when the gateway is killed in between; then no repeat may find it missing.
          const madeConfiguration = await sandboxes.delete(record, () => remember(answer));
          return create(DeleteSandboxResponseSchema, { ...answer, madeConfiguration: [...madeConfiguration] });
        } catch (error) {
          if (!request.allowMissing || !(error instanceof OpenShellError) || error.code !== "not_found") throw error;
          const madeConfiguration = [...sandboxes.madeBeforeItWent(request.workspaceScope, request.name)];
          return create(DeleteSandboxResponseSchema, { outcome: DeletionOutcome.ALREADY_ABSENT, madeConfiguration });
        }
      }),

    stopSandbox: (request, call) =>
      replay<SandboxResponse>(request, call, async () => {
        // Stopping and starting twice is once, so the answer need not be written with the change.
        const { record } = sandboxes.find(request.workspaceScope, request.name);
        refuseDeleting(record);
        const stopped = record.status.phase === SandboxPhase.STOPPED ? record : await sandboxes.stop(record);
        return create(SandboxResponseSchema, { sandbox: toSandbox(stopped) });
      }),

    startSandbox: (request, call) =>
      replay<SandboxResponse>(request, call, async () => {
        const { record } = sandboxes.find(request.workspaceScope, request.name);
        refuseDeleting(record);
        const { phase } = record.status;
        const down = phase === SandboxPhase.STOPPED || phase === SandboxPhase.ERROR || phase === SandboxPhase.COMPLETED;
        return create(SandboxResponseSchema, { sandbox: toSandbox(down ? await sandboxes.restart(record) : record) });
      }),
  };
}

/** Validates the request and stores the sandbox with its first policy revision; runs inside a transaction. */
function newSandbox(context: GatewayContext, request: CreateSandboxRequest): SandboxRecord {
  const { repository, policies, providers, clock, options, driver } = context;
  const workspace = oneWorkspace(request.workspaceScope);
  const asked = validateCreate(request);
  const given = create(SandboxSpecSchema, { ...asked, mounts: settledMounts(asked.mounts) });
  providers.requireAll(workspace, given.providers);
  const policy = given.policy === undefined ? undefined : admitPolicy(given.policy);
  checkHostPaths(options.allowedMounts, given.mounts, policy);
  const uid = policy === undefined ? undefined : requestedUid(policy, options.allowedUids ?? []);
  if (uid !== undefined && repository.uids().has(uid)) {
    throw new OpenShellError("failed_precondition", `process.run_as_user: another sandbox runs as uid ${uid} already`, {
      next: "delete it, or use `sandbox`",
    });
  }
  driver.admit({ spec: given });
  if (request.name !== "") checkSandboxName(request.name);
  const name = request.name === "" ? petname((taken) => repository.byName(workspace, taken) !== undefined) : request.name;
  const instanceId = randomUUID();
  const status = create(SandboxStatusSchema, { mainProcessInstanceId: instanceId });
  const record: SandboxRecord = {
    id: randomUUID(),
    workspace,
    name,
    createdAt: clock.now(),
    resourceVersion: 1,
    labels: request.labels,
    annotations: request.annotations,
    spec: create(SandboxSpecSchema, { ...given, ...(policy === undefined ? {} : { policy: policyToProto(policy) }) }),
    status: transition(status, { kind: "starting" }, clock.now()),
    desired: "running",
    instanceId,
    uid: uid ?? allocateUid(options.uidRange, repository.uids()),
  };
  repository.insert(record);
  if (policy !== undefined) policies.commit(record.id, { expectedVersion: 0, policy, provenance: "create" });
  return record;
}

/** Records in order after a position, read in pieces. */
function* after(
  repository: GatewayContext["repository"],
  workspace: string | undefined,
  position: readonly [string, string],
): Generator<SandboxRecord> {
  const PIECE = 100;
  let last = position;
  while (true) {
    const piece = repository.list(workspace, last, PIECE);
    for (const record of piece) {
      last = [record.workspace, record.name];
      yield record;
    }
    if (piece.length < PIECE) return;
  }
}

function refuseDeleting(record: SandboxRecord): void {
  if (record.desired === "deleted") throw new OpenShellError("failed_precondition", "the sandbox is being deleted");
}
