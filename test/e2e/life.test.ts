/** What survives what: the agent never outlives its supervisor, the enforcement outlives the gateway, and nothing outlives a delete. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";
import { allowed, other } from "./programs.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: life and death of sandboxes: ${missing}`);

const POLICY = `version: 1
network_policies:
  example_api:
    endpoints: [{ host: api.example.com, port: 80 }]
    binaries: [{ path: ${allowed.path} }]
`;

describe.skipIf(missing !== undefined)("life", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const create = (name: string, ...command: string[]) => shell.create(name, POLICY, ...command);

  const supervisors = async () => (await net.processes()).filter(({ commandLine }) => commandLine.includes("sandbox run --spec"));

  test("threat-17 kill -9 of the supervisor ends the agent, however detached", async () => {
    await create("doomed", "/bin/sh", "-c", "setsid /bin/sleep 86411 & exec /bin/sleep 86412");
    await shell.waitForProcesses("start of the agent", (lines) =>
      ["86411", "86412"].every((mark) => lines.some((line) => line.includes(`sleep ${mark}`))),
    );
    const [supervisor] = await supervisors();
    expect(supervisor).toBeDefined();
    await net.killOnHost(supervisor!.pid, "SIGKILL");
    await shell.waitForProcesses("end of the agent", (lines) => !lines.some((line) => /sleep 8641[12]/.test(line)));
    await shell.must("sandbox", "delete", "doomed");
  });

  test("delete leaves no process, mount, namespace or file", async () => {
    const before = { processes: (await net.processes()).length, namespaces: await net.namespaces(), mounts: await net.mounts() };
    await create("brief", "/bin/sh", "-c", "setsid /bin/sleep 86421 & exec /bin/sleep 86422");
    expect((await net.namespaces()).length).toBeGreaterThan(before.namespaces.length);
    expect(await shell.exec("brief", ...allowed.fetch("http://api.example.com/"))).toMatchObject({ exitCode: 0 });
    await shell.must("sandbox", "delete", "brief");
    await shell.waitForProcesses("end of every process", (lines) => lines.length <= before.processes);
    expect(await net.namespaces()).toEqual(before.namespaces);
    expect(await net.mounts()).toEqual(before.mounts);
    expect(shell.sandboxDirectories()).toEqual([]);
    expect(await shell.must("sandbox", "list")).not.toContain("brief");
  });

  test("kill -9 of the gateway leaves the sandbox enforcing, and a restart finds it again", async () => {
    await create(
      "steady",
      "/bin/sh",
      "-c",
      `while :; do ${allowed.fetch("http://api.example.com/beat").join(" ")}; sleep 0.2; done >/dev/null 2>&1`,
    );
    const beats = async () => (await net.seen()).requests.filter(({ path }) => path === "/beat").length;
    const reach = (count: number) =>
      eventually(
        `request ${count}`,
        15_000,
        async () => (await beats()) >= count || undefined,
        () => shell.diagnosis(),
      );
    await reach(1);
    const [before] = await supervisors();
    await shell.gateway.kill("SIGKILL");
    await shell.gateway.exited;
    await reach((await beats()) + 3);
    expect((await supervisors()).map(({ pid }) => pid)).toEqual([before!.pid]);

    await shell.startGateway();
    const answer = await eventually(
      "exec after the restart",
      30_000,
      async () => {
        const { exitCode, stdout } = await shell.exec("steady", "/bin/echo", "here");
        return exitCode === 0 ? stdout : undefined;
      },
      () => shell.diagnosis(),
    );
    expect(answer).toBe("here\n");
    expect((await supervisors()).map(({ pid }) => pid)).toEqual([before!.pid]);
    expect(await shell.exec("steady", ...other.fetch("http://api.example.com/"))).not.toMatchObject({ exitCode: 0 });
    await shell.must("sandbox", "delete", "steady");
  });

  test("a second gateway on the same state names the first", async () => {
    const second = await shell.cli(["gateway", "serve", "--port", "0"]);
    expect(second.exitCode).toBe(1);
    expect(second.stderr).toContain(String(shell.gateway.pid));
  });
});
