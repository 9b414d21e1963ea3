import { expect, test } from "bun:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { SandboxPhase, SandboxRestartPolicy } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { testGateway, until, workspaceScope } from "../gateway.test-support.ts";

test("a supervisor that fails is started again after a pause that grows, and the status says when", async () => {
  // Long enough for the gateway to note its start.
  await using gw = await testGateway({}, undefined, ["/bin/sh", "-c", "sleep 0.2; exit 3", "supervisor"]);
  const get = async () => (await gw.user.getSandbox({ workspaceScope, name: "falls" })).sandbox?.status;
  await gw.user.createSandbox({ workspaceScope, name: "falls", spec: { restartPolicy: SandboxRestartPolicy.ON_FAILURE } });
  await until(async () => (await get())?.nextRestartTime !== undefined);
  const first = await get();
  expect([first?.phase, first?.restartCount]).toEqual([SandboxPhase.ERROR, 0]);
  await until(async () => (await get())?.restartCount === 1);
  await until(async () => (await get())?.phase === SandboxPhase.ERROR);
  const second = await get();
  const pause = (status: typeof second) => timestampMs(status!.nextRestartTime!) - timestampMs(status!.conditions[0]!.transitionTime!);
  expect(pause(second)).toBeGreaterThan(pause(first));
  // Deleted while it waits: it does not come back.
  await gw.user.deleteSandbox({ workspaceScope, name: "falls" });
  expect((await gw.user.listSandboxes({ workspaceScope })).sandboxes).toEqual([]);
});
