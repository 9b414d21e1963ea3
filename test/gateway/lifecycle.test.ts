/** The life of real sandboxes: why they fail, how they end, what a crash, a reboot and a gateway that was away make of them. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { policyToProto } from "../../src/policy/proto.ts";
import { parsePolicyYaml } from "../../src/policy/yaml.ts";
import { type Sandbox, SandboxPhase, SandboxRestartPolicy } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: the life of sandboxes: ${missing}`);

/** A start of a sandbox on a busy machine. Milliseconds. */
const SOON = 60_000;
const UNSTARTABLE = `version: 1
filesystem_policy: { include_workdir: true, read_only: [/usr, /usr/no/such/path] }
landlock: { compatibility: hard_requirement }
`;

describe.skipIf(missing !== undefined)("the life of a sandbox", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  afterEach(async () => {
    const { out } = await host.cli("sandbox", "list", "-o", "name");
    const names = out.split("\n").filter((name) => name !== "");
    if (names.length > 0) await host.cli("sandbox", "delete", ...names);
    expect(host.supervisors()).toEqual([]);
    expect(host.sandboxDirectories()).toEqual([]);
  });

  const get = async (name: string): Promise<Sandbox> => {
    using connected = host.connect();
    const { sandbox } = await connected.client.getSandbox({ workspaceScope, name });
    if (sandbox === undefined) throw new Error("no sandbox");
    return sandbox;
  };
  const brief = ({ status }: Sandbox) =>
    `${SandboxPhase[status?.phase ?? 0]} ${status?.conditions[0]?.reason} ${status?.conditions[0]?.message}${status?.exitCode === undefined ? "" : ` [${status.exitCode}]`}`;
  const becomes = (name: string, pattern: RegExp) =>
    eventually(
      `${name} becomes ${pattern}`,
      SOON,
      async () => {
        const sandbox = await get(name);
        return pattern.test(brief(sandbox)) ? sandbox : undefined;
      },
      async () => `${brief(await get(name))}\n${host.diagnosis()}`,
    );
  const create = async (name: string, spec: Parameters<ReturnType<GatewayHost["connect"]>["client"]["createSandbox"]>[0]["spec"]) => {
    using connected = host.connect();
    const { sandbox } = await connected.client.createSandbox({ workspaceScope, name, spec });
    return sandbox?.metadata?.id ?? "";
  };
  const pidOf = (id: string) => host.supervisors().find((found) => found.id === id)?.pid ?? 0;
  const echo = async (name: string) => (await host.cli("sandbox", "exec", "-n", name, "--", "/bin/echo", "here")).out;

  test("a start that fails says why, keeps its name until it is replaced, and stays an error until it is started again", async () => {
    const policy = join(host.directory, "unstartable.yaml");
    writeFileSync(policy, UNSTARTABLE);
    const failed = await host.cli("sandbox", "create", "--name", "again", "--policy", policy);
    expect(failed.code).toBe(1);
    expect(failed.err).toContain("/usr/no/such/path");
    expect(brief(await get("again"))).toMatch(/^ERROR SupervisorExited .*\/usr\/no\/such\/path/);
    const taken = await host.cli("sandbox", "create", "--name", "again");
    expect(taken.err).toContain("already exists");
    expect((await host.cli("sandbox", "exec", "-n", "again", "--", "/bin/true")).code).not.toBe(0);
    expect((await host.cli("sandbox", "create", "--name", "again", "--replace")).code).toBe(0);
    expect(await echo("again")).toBe("here\n");
  });

  test("what is refused leaves no name", async () => {
    const { code } = await host.cli("sandbox", "create", "--name", "never", "--mount", "/root:/root:rw");
    expect(code).not.toBe(0);
    expect((await host.cli("sandbox", "get", "never")).err).toContain("not found");
  });

  test("the end of the main process: COMPLETED with 0, ERROR otherwise, both with the code and with commands that still run", async () => {
    await create("good", { command: ["/bin/true"] });
    await create("bad", { command: ["/bin/sh", "-c", "exit 7"] });
    await create("killed", { command: ["/bin/sh", "-c", "kill -9 $$"] });
    await create("missing", { command: ["no-such-program"] });
    await becomes("good", /^COMPLETED MainProcessExited .* \[0\]$/);
    await becomes("bad", /^ERROR MainProcessExited .* \[7\]$/);
    await becomes("killed", /^ERROR MainProcessExited .* \[137\]$/);
    await becomes("missing", /^ERROR MainProcessExited .* \[127\]$/);
    for (const name of ["good", "bad", "killed", "missing"]) expect([name, await echo(name)]).toEqual([name, "here\n"]);
    // Its lines come in batches.
    await eventually("why it did not start", SOON, async () =>
      (await host.cli("logs", "missing", "-n", "100")).out.includes("no-such-program") ? true : undefined,
    );
  });

  test("--no-keep: gone when the main process ends, with its code, also when the gateway was away then", async () => {
    const { code } = await host.cli("sandbox", "create", "--name", "brief", "--no-keep", "--", "/bin/sh", "-c", "exit 5");
    expect(code).toBe(5);
    expect((await host.cli("sandbox", "get", "brief")).err).toContain("not found");

    const id = await create("away", { command: ["/bin/sh", "-c", "while [ ! -e /sandbox/go ]; do sleep 0.1; done"], keep: false });
    await becomes("away", /^READY/);
    await host.kill("SIGKILL");
    writeFileSync(join(host.sandboxesDirectory, id, "workspace/go"), "");
    await host.start();
    await eventually(
      "its end",
      SOON,
      async () => !existsSync(join(host.sandboxesDirectory, id)) || undefined,
      async () => host.diagnosis(),
    );
  });

  test("a crash is an error with its reason, and a start brings another instance with the same files", async () => {
    const id = await create("crash", { command: ["/bin/sleep", "1000"] });
    const before = await becomes("crash", /^READY/);
    await host.cli("sandbox", "exec", "-n", "crash", "--", "/bin/touch", "/sandbox/kept");
    process.kill(pidOf(id), "SIGKILL");
    await becomes("crash", /^ERROR SupervisorExited The supervisor ended without a word/);
    expect((await host.cli("sandbox", "start", "crash")).code).toBe(0);
    const after = await becomes("crash", /^READY/);
    expect(after.status?.mainProcessInstanceId).not.toBe(before.status?.mainProcessInstanceId as string);
    expect((await host.cli("sandbox", "exec", "-n", "crash", "--", "/bin/ls", "/sandbox")).out).toBe("kept\n");
  });

  test("restart policies: never by default, again with ALWAYS and ON_FAILURE", async () => {
    const ids = new Map<string, string>();
    for (const name of ["always", "on-failure", "never"]) {
      const restartPolicy = {
        always: SandboxRestartPolicy.ALWAYS,
        "on-failure": SandboxRestartPolicy.ON_FAILURE,
        never: SandboxRestartPolicy.NEVER,
      }[name];
      ids.set(name, await create(name, restartPolicy === undefined ? {} : { restartPolicy }));
      await becomes(name, /^READY/);
    }
    for (const id of ids.values()) process.kill(pidOf(id), "SIGKILL");
    await becomes("never", /^ERROR SupervisorExited/);
    for (const name of ["always", "on-failure"]) {
      await eventually(`${name} starts again`, SOON, async () => ((await get(name)).status?.restartCount ?? 0) >= 1 || undefined);
      await becomes(name, /^READY/);
      expect(await echo(name)).toBe("here\n");
    }
    expect((await get("never")).status?.restartCount).toBe(0);
  }, 200_000);

  test("what happened while the gateway was away: a crash is told, a reboot starts what ran and nothing else", async () => {
    const ids = { crashed: await create("crashed", {}), rebooted: await create("rebooted", {}), stopped: await create("stopped", {}) };
    const ended = await create("ended", { command: ["/bin/true"] });
    for (const name of Object.keys(ids)) await becomes(name, /^READY/);
    await becomes("ended", /^COMPLETED/);
    expect((await host.cli("sandbox", "stop", "stopped")).code).toBe(0);
    await host.kill("SIGKILL");
    for (const id of [ids.crashed, ids.rebooted, ended]) process.kill(pidOf(id), "SIGKILL");
    for (const id of [ids.rebooted, ended]) {
      const file = join(host.sandboxesDirectory, id, "supervisor.json");
      writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), bootId: "00000000-0000-0000-0000-000000000000" }));
    }
    await eventually("the end of them all", SOON, async () => host.supervisors().length === 0 || undefined);
    await host.start();
    await becomes("crashed", /^ERROR SupervisorExited The supervisor ended while the gateway was away/);
    await becomes("rebooted", /^READY/);
    expect(await echo("rebooted")).toBe("here\n");
    expect(brief(await get("stopped"))).toStartWith("STOPPED");
    expect(brief(await get("ended"))).toMatch(/^COMPLETED .* \[0\]$/);
    expect(host.supervisors().map(({ id }) => id)).toEqual([ids.rebooted]);
  }, 200_000);

  test("deleted while it is being made, and made again at once under the same name", async () => {
    for (let round = 0; round < 5; round++) {
      await create("brief", { command: ["/bin/sleep", "1000"] });
      await Bun.sleep(round * 60);
      expect((await host.cli("sandbox", "delete", "brief")).code).toBe(0);
      expect(host.supervisors()).toEqual([]);
      expect(host.sandboxDirectories()).toEqual([]);
    }
  }, 120_000);

  test("a configuration that a new gateway gives is the same sandbox's: policy, labels and names of 63 characters survive", async () => {
    const name = `n${"a-".repeat(30)}63`;
    expect(name).toHaveLength(63);
    const policy = policyToProto(parsePolicyYaml("version: 1\nnetwork_policies: {}\n", { source: "test" }));
    using first = host.connect();
    const { sandbox } = await first.client.createSandbox({ workspaceScope, name, labels: { team: "a" }, spec: { policy } });
    await becomes(name, /^READY/);
    await host.kill("SIGKILL");
    await host.start();
    const found = await becomes(name, /^READY/);
    expect(found.metadata).toMatchObject({ id: sandbox?.metadata?.id, labels: { team: "a" } });
    expect(await echo(name)).toBe("here\n");
    expect((await host.cli("sandbox", "create", "--name", `${name}x`)).err).toContain("63");
  });
});
