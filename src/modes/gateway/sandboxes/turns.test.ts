import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { testGateway, until, workspaceScope } from "../gateway.test-support.ts";

/**
 * Supervisors of a test gateway by their spec file: the arguments stay in the command line of the stand-in. What a stand-in has just forked has
 * the same for a moment.
 */
function supervisors(directory: string): number[] {
  const found = readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/cmdline`, "utf8").includes(`${directory}/state/sandboxes/`)) return [];
      const parent = Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${entry}/status`, "utf8"))?.[1]);
      return [{ pid: Number(entry), parent }];
    } catch {
      return [];
    }
  });
  const pids = new Set(found.map(({ pid }) => pid));
  return found.filter(({ parent }) => !pids.has(parent)).map(({ pid }) => pid);
}

test("stopped before its start has come to the process: none is left running", async () => {
  await using gw = await testGateway();
  for (let round = 0; round < 10; round++) {
    const name = `round-${round}`;
    await gw.user.createSandbox({ workspaceScope, name, spec: {} });
    const { sandbox } = await gw.user.stopSandbox({ workspaceScope, name });
    expect(sandbox?.status?.phase).toBe(SandboxPhase.STOPPED);
    expect(supervisors(gw.directory)).toEqual([]);
  }
});

test("started, stopped and deleted by several at once: at most one supervisor, and in the end none", async () => {
  await using gw = await testGateway();
  await gw.user.createSandbox({ workspaceScope, name: "busy", spec: {} });
  const id = (await gw.user.getSandbox({ workspaceScope, name: "busy" })).sandbox?.metadata?.id ?? "";
  const { user } = gw;
  for (let round = 0; round < 5; round++) {
    await user.stopSandbox({ workspaceScope, name: "busy" });
    await Promise.all([1, 2, 3, 4].map(() => user.startSandbox({ workspaceScope, name: "busy" })));
    await until(() => existsSync(join(gw.directory, "state/sandboxes", id, "supervisor.json")));
    await until(() => supervisors(gw.directory).length === 1);
    const { instanceId, pid } = JSON.parse(readFileSync(join(gw.directory, "state/sandboxes", id, "supervisor.json"), "utf8"));
    expect(supervisors(gw.directory)).toEqual([pid]);
    expect(gw.gateway.context.sandboxes.get(id)?.instanceId).toBe(instanceId);
  }
  const everything = [1, 2, 3].flatMap(() => [
    user.startSandbox({ workspaceScope, name: "busy" }),
    user.stopSandbox({ workspaceScope, name: "busy" }),
    user.deleteSandbox({ workspaceScope, name: "busy", allowMissing: true }),
  ]);
  await Promise.allSettled(everything);
  expect(supervisors(gw.directory)).toEqual([]);
  expect(existsSync(join(gw.directory, "state/sandboxes", id))).toBe(false);
});
