/** Signals of the supervisor reach the program, and ending it at any moment leaves nothing behind. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BINARY } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { missingForRun, Runs, until } from "./harness.ts";

const missing = missingForRun() ?? missingForTestInternet();
if (missing !== undefined) console.log(`skipped: signals of sandbox run: ${missing}`);

describe.skipIf(missing !== undefined)("sandbox run: signals", () => {
  const runs = new Runs();
  let net: TestInternet;
  beforeAll(async () => {
    net = await openTestInternet();
    // Its own, because other sandboxes of this machine come and go.
    await net.runOnHost(["/bin/sh", "-ec", "mkdir -p /run/openshell; mount -t tmpfs tmpfs /run/openshell"]);
  });
  afterAll(async () => {
    await net?.[Symbol.asyncDispose]();
    runs[Symbol.dispose]();
  });

  /** What `sandbox run` keeps on disk while it runs. */
  const left = async () =>
    (await net.runOnHost(["/bin/ls", "-A", "/run/openshell"])).stdout.split("\n").filter((name) => name !== "" && name !== "uids");

  test("each signal that people send reaches the program, which decides", async () => {
    const script = `for name in INT TERM QUIT USR1 USR2 HUP; do trap "echo got $name" $name; done
      echo ready; while :; do sleep 0.05; done`;
    // SIGHUP means "reload" when there is a policy file; a restrictive default has none.
    const program = runs.start(["--policy", runs.closed, "--", "/bin/sh", "-c", script]);
    await until(program.stdout, /ready/);
    for (const name of ["INT", "QUIT", "USR1", "USR2", "TERM"] as const) {
      program.kill(`SIG${name}`);
      await until(program.stdout, new RegExp(`got ${name}\n`));
    }
    program.kill("SIGHUP");
    await until(program.stderr, /policy reloaded from/);
    program.kill("SIGKILL");
    await program.exited;
  });

  test("the whole process group of the program gets them", async () => {
    const program = runs.start(["--policy", runs.closed, "--", "/bin/sh", "-c", "sleep 86432 & echo ready; wait"]);
    await until(program.stdout, /ready/);
    program.kill("SIGINT");
    expect(await program.exited).toBe(130);
  });

  test("a program that ignores SIGTERM is killed after a grace time", async () => {
    const program = runs.start(["--policy", runs.closed, "--", "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]);
    await until(program.stdout, /ready/);
    program.kill("SIGTERM");
    expect(await program.exited).toBe(137);
  });

  test("SIGTERM and SIGINT at any moment leave no process, mount, namespace or file", async () => {
    const before = {
      namespaces: await net.namespaces(),
      mounts: await net.mounts(),
      processes: (await net.processes()).length,
      left: await left(),
    };
    // From the first instruction to well after the start, which takes about a tenth of a second.
    for (let delay = 0; delay <= 200; delay += 20) {
      const program = await net.spawnOnHost([BINARY, "sandbox", "run", "--policy", runs.closed, "--", "/bin/sleep", "86433"]);
      await Bun.sleep(delay);
      await net.killOnHost(program.pid, delay % 40 === 0 ? "SIGTERM" : "SIGINT");
      const { exitCode } = await program.exited;
      expect([130, 143]).toContain(exitCode);
    }
    await eventually("end of every process", 5000, async () => (await net.processes()).length <= before.processes || undefined);
    expect(await net.namespaces()).toEqual(before.namespaces);
    expect(await net.mounts()).toEqual(before.mounts);
    expect(await left()).toEqual(before.left);
  });

  test("threat-17 kill -9 of the supervisor ends every process of the program, within a second", async () => {
    const script =
      "setsid /bin/sleep 86434 & setsid /bin/sh -c 'trap \"\" TERM HUP INT; while :; do sleep 86435; done' & echo up; exec /bin/sleep 86436";
    const program = await net.spawnOnHost([BINARY, "sandbox", "run", "--policy", runs.closed, "--", "/bin/sh", "-c", script]);
    await program.waitForOutput(/^up$/m);
    const running = async () => (await net.processes()).filter(({ commandLine }) => /sleep 8643[456]/.test(commandLine)).length;
    await eventually("start of three programs", 5000, async () => (await running()) >= 3 || undefined);
    await net.killOnHost(program.pid, "SIGKILL");
    await eventually("end of the agent", 1000, async () => (await running()) === 0 || undefined);
  });

  test("files of a supervisor that was killed go at the next start", async () => {
    const run = (...command: string[]) => [BINARY, "sandbox", "run", "--policy", runs.closed, "--", ...command];
    const program = await net.spawnOnHost(run("/bin/sh", "-c", "echo up; exec sleep 86437"));
    await program.waitForOutput(/^up$/m);
    const during = await left();
    expect(during.length).toBeGreaterThan(0);
    await program.kill("SIGKILL");
    await program.exited;
    await net.runOnHost(run("/bin/true"));
    expect((await left()).filter((name) => during.includes(name))).toEqual([]);
  });
});
