/** A machine that is shut down tells every process to end, in any order; after the boot what ran runs again. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: shutdown: ${missing}`);

/** A start of a sandbox on a busy machine. Milliseconds. */
const SOON = 60_000;

/** Projects in the host's own directory may be mounted. */
const mountable = ({ directory }: GatewayHost) => ["--allow-mount", directory];

describe.skipIf(missing !== undefined)("sandboxes that are told to end by others than their gateway", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start(...mountable(host));
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(async () => {
    const { out } = await host.cli("sandbox", "list", "-o", "name");
    const names = out.split("\n").filter((name) => name !== "");
    if (names.length > 0) await host.cli("sandbox", "delete", ...names);
  });

  const get = async (name: string) => {
    using connected = host.connect();
    return (await connected.client.getSandbox({ workspaceScope, name })).sandbox;
  };
  const brief = async (name: string) => {
    const status = (await get(name))?.status;
    return `${SandboxPhase[status?.phase ?? 0]} ${status?.conditions[0]?.reason} ${status?.conditions[0]?.message}`;
  };
  const becomes = (name: string, pattern: RegExp) =>
    eventually(
      `${name} becomes ${pattern}`,
      SOON,
      async () => pattern.test(await brief(name)) || undefined,
      async () => `${await brief(name)}\n${host.diagnosis()}`,
    );
  const create = async (name: string, command: string[] = []) => {
    using connected = host.connect();
    const { sandbox } = await connected.client.createSandbox({ workspaceScope, name, spec: { command } });
    await becomes(name, /^READY/);
    return sandbox?.metadata?.id ?? "";
  };
  const pidOf = (id: string) => host.supervisors().find((found) => found.id === id)?.pid ?? 0;
  const reboot = async (...ids: string[]) => {
    await host.kill("SIGKILL");
    for (const id of ids) {
      const file = join(host.sandboxesDirectory, id, "supervisor.json");
      writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), bootId: "00000000-0000-0000-0000-000000000000" }));
    }
    await host.start(...mountable(host));
  };

  test("supervisors, and programs before them, end before the gateway: the reason is said, and a boot starts them again", async () => {
    const ids = [await create("first"), await create("program", ["/bin/sleep", "10000"])];
    await eventually("the program", SOON, async () => programsNamed("sleep 10000").length > 0 || undefined);
    for (const pid of programsNamed("sleep 10000")) process.kill(pid, "SIGTERM");
    for (const id of ids) process.kill(pidOf(id), "SIGTERM");
    for (const name of ["first", "program"]) await becomes(name, /^ERROR StoppedBySignal The supervisor was told to end by SIGTERM/);
    await reboot(...ids);
    for (const name of ["first", "program"]) await becomes(name, /^READY/);
  }, 200_000);

  test("supervisors are told to end while the gateway is away: they start again; one that was killed does not", async () => {
    const told = await create("told");
    const killed = await create("killed");
    await host.kill("SIGKILL");
    process.kill(pidOf(told), "SIGTERM");
    process.kill(pidOf(killed), "SIGKILL");
    await eventually("their end", SOON, async () => host.supervisors().length === 0 || undefined);
    await host.start(...mountable(host));
    await becomes("told", /^READY/);
    await becomes("killed", /^ERROR SupervisorExited/);
  }, 200_000);

  test("threat-15 tool configuration that a program made a moment before the end is told by get, stop and delete", async () => {
    const directory = mkdtempSync(join(host.directory, "repo-"));
    chmodSync(directory, 0o777);
    try {
      const created = await host.cli("sandbox", "create", "--name", "makes", "--mount", `${directory}:/repo:rw`);
      expect(created).toMatchObject({ code: 0 });
      const made = join(directory, ".envrc");
      expect((await host.cli("sandbox", "exec", "-n", "makes", "--", "/bin/sh", "-c", "echo x > /repo/.envrc")).code).toBe(0);
      const stopped = await host.cli("sandbox", "stop", "makes");
      expect(stopped.err).toContain(`made ${made}: tools of yours`);
      expect((await get("makes"))?.status?.madeConfiguration).toEqual([made]);
      expect((await host.cli("sandbox", "get", "makes")).out).toContain(made);
      await host.kill("SIGKILL");
      await host.start(...mountable(host));
      expect((await host.cli("sandbox", "start", "makes")).code).toBe(0);
      expect((await host.cli("sandbox", "exec", "-n", "makes", "--", "mkdir", "/repo/.vscode")).code).toBe(0);
      const deleted = await host.cli("sandbox", "delete", "makes");
      expect(deleted.err).toContain(`made ${made}: tools of yours`);
      expect(deleted.err).toContain(`made ${join(directory, ".vscode")}: tools of yours`);
      rmSync(made);
      const create = ["sandbox", "create", "--name", "makes", "--mount", `${directory}:/repo:rw`];
      expect((await host.cli(...create)).code).toBe(0);
      expect((await host.cli("sandbox", "exec", "-n", "makes", "--", "/bin/touch", "/repo/.envrc")).code).toBe(0);
      const replaced = await host.cli(...create, "--replace", "--detach");
      expect([replaced.code, replaced.err]).toEqual([0, expect.stringContaining(`made ${made}: tools of yours`)]);
      const mount = ["--mount", `${directory}:/repo:rw`];
      for (const wanted of [0, 3]) {
        rmSync(made, { force: true });
        const script = `echo x > /repo/.envrc; exit ${wanted}`;
        const { code, err } = await host.cli("sandbox", "create", "--no-keep", ...mount, "--", "/bin/sh", "-c", script);
        expect([code, err]).toEqual([wanted, expect.stringContaining(`made ${made}: tools of yours`)]);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  }, 200_000);
});

/** Programs of sandboxes by their command line. */
function programsNamed(command: string): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const line = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return line === `/bin/${command}` ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}
