import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { DraftPolicyUpdate, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createSandbox, testGateway, workspaceScope } from "../gateway.test-support.ts";
import { denial, first, plain } from "./drafts.test-support.ts";

test("over real connections: submit, watch, approve, replay, undo; the sandbox itself cannot decide", async () => {
  await using gateway = await testGateway();
  const policy = create(SandboxPolicySchema, { version: 1 });
  const { id, name } = await createSandbox(gateway, { name: "box", spec: { policy } });
  const supervisor = gateway.as({ bearer: await gateway.token(id) });
  const updates = watchDrafts(gateway.user, name);
  // The snapshot says that the watch has begun.
  expect(await updates.next()).toEqual({ value: undefined, done: false });

  const proposed = [plain("10.9.8.7", { port: 8443 })] as MessageInitShape<typeof PolicyChunkSchema>[];
  const submitted = await supervisor.submitPolicyAnalysis({
    workspaceScope,
    name,
    summaries: [denial("10.9.8.7", { port: 8443 })],
    proposedChunks: proposed,
  });
  expect(submitted.results.map(({ code }) => code)).toEqual(["accepted"]);
  expect((await updates.next()).value?.totalPending).toBe(1);

  const chunk = first((await gateway.user.getDraftPolicy({ workspaceScope, sandbox: name })).chunks);
  expect(chunk.sentence).toBe("curl may connect to 10.9.8.7 on port 8443 — ANY request, uploads included");
  const approval = { workspaceScope, sandbox: name, chunkId: chunk.id, reviewToken: chunk.reviewToken, requestId: crypto.randomUUID() };
  for (const call of [supervisor.approveDraftChunk(approval), supervisor.undoDraftChunk(approval), supervisor.clearDraftChunks(approval)]) {
    expect(ConnectError.from(await call.catch((error: unknown) => error)).code).toBe(Code.PermissionDenied);
  }
  const approved = await gateway.user.approveDraftChunk(approval);
  expect([approved.policyVersion, approved.policyHash]).toEqual([2, chunk.candidateEffectivePolicyHash]);
  // The same request again is answered, not repeated.
  expect((await gateway.user.approveDraftChunk(approval)).policyVersion).toBe(2);
  expect((await updates.next()).value?.totalPending).toBe(0);

  expect((await gateway.user.undoDraftChunk({ workspaceScope, sandbox: name, chunkId: chunk.id })).policyVersion).toBe(3);
  const { entries } = await gateway.user.getDraftHistory({ workspaceScope, sandbox: name });
  expect(entries.map(({ eventType }) => eventType)).toEqual(["proposed", "approved", "undone"]);
  expect(entries[1]?.actor).toContain("@");
  await updates.return(undefined);
});

async function* watchDrafts(
  user: Awaited<ReturnType<typeof testGateway>>["user"],
  name: string,
): AsyncGenerator<DraftPolicyUpdate | undefined, undefined> {
  const abort = new AbortController();
  let subscribed = false;
  try {
    for await (const { payload } of user.watchSandbox(
      { workspaceScope, sandbox: name, followStatus: true, followEvents: true },
      { signal: abort.signal },
    )) {
      if (payload.case === "sandbox" && !subscribed) yield undefined;
      subscribed ||= payload.case === "sandbox";
      if (payload.case === "draftPolicyUpdate") yield payload.value;
    }
  } finally {
    abort.abort();
  }
  return undefined;
}
