/** `openshell sandbox run`: one confined program without a gateway. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { BINARY, Installation, missingBinary } from "./installation.ts";
import { allowed } from "./programs.ts";

const missing =
  missingForTestInternet() ?? missingBinary() ?? (allowed.path.startsWith("/usr/") ? undefined : "no client program in /usr/bin");
if (missing !== undefined) console.log(`skipped: sandbox run: ${missing}`);

const POLICY = `version: 1
network_policies:
  example_api:
    endpoints: [{ host: api.example.com, port: 80 }]
    binaries: [{ path: ${allowed.path} }]
`;

describe.skipIf(missing !== undefined)("sandbox run", () => {
  let net: TestInternet;
  let shell: Installation;
  let policy: string;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    policy = shell.policy("run", POLICY);
  });
  afterAll(() => net?.[Symbol.asyncDispose]());

  const run = (...argv: string[]) => shell.cli(["sandbox", "run", "--policy", policy, "--", ...argv]);

  test("the policy holds, and the denial is explained to the agent", async () => {
    expect(await run(...allowed.fetch("http://api.example.com/run"))).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('"/run"'),
    });
    const before = await net.seenWhenQuiet();
    const denied = await run(...allowed.fetch("http://other.example.com/"));
    expect(denied.exitCode).not.toBe(0);
    expect((await net.seenWhenQuiet()).packets).toEqual(before.packets);
    if (allowed.name === "curl")
      expect(JSON.parse(denied.stdout)).toMatchObject({ error: "policy_denied", host: "other.example.com", port: 80 });
  });

  test("without a policy the whole network is blocked", async () => {
    const { exitCode } = await shell.cli(["sandbox", "run", "--", ...allowed.fetch("http://api.example.com/")]);
    expect(exitCode).not.toBe(0);
  });

  test("exit code, signals, output and input are the program's", async () => {
    expect(await run("/bin/sh", "-c", "exit 42")).toMatchObject({ exitCode: 42 });
    expect(await run("/bin/sh", "-c", "kill -KILL $$")).toMatchObject({ exitCode: 137 });
    const answer = await shell.cli(["sandbox", "run", "--policy", policy, "--", "/bin/sh", "-c", "cat; pwd; id -u"], { stdin: "typed\n" });
    expect(answer.stdout).toMatch(/^typed\n\/sandbox\n2\d{9}\n$/);
  });

  test("a command that is not in the view is refused with its path and a hint", async () => {
    const { exitCode, stderr } = await run("no-such-program");
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("no-such-program");
  });

  test("it leaves no process, mount, namespace or file, when it ends and when it is killed", async () => {
    const before = { namespaces: await net.namespaces(), mounts: await net.mounts(), processes: (await net.processes()).length };
    await run("/bin/sh", "-c", "setsid /bin/sleep 86441 >/dev/null 2>&1 & exit 0");
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const program = await net.spawnOnHost(
        [BINARY, "sandbox", "run", "--policy", policy, "--", "/bin/sh", "-c", "echo up; exec /bin/sleep 86442"],
        {
          env: shell.env,
        },
      );
      await program.waitForOutput(/^up$/m);
      await program.kill(signal);
      await program.exited;
    }
    await shell.waitForProcesses("end of every process", (lines) => lines.length <= before.processes);
    expect(await net.namespaces()).toEqual(before.namespaces);
    expect(await net.mounts()).toEqual(before.mounts);
  });
});
