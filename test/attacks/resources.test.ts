/** Exhaustion and survival: a program that takes all it can get harms its own sandbox at most, and nothing of it stays. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually } from "../eventually.ts";
import { Arena, AS_USER, asUser, missingForAttacks, type Outcome, PERL, readProbes, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on resources: ${missing}`);

/** Descriptors of a supervisor that has hardly any: less than the connections that the program opens. */
const FEW_DESCRIPTORS = 256;

describe.skipIf(missing !== undefined)("resources", () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.open();
  });
  afterAll(() => arena?.[Symbol.asyncDispose]());

  const network = rule("own", "api.example.com", 80, [PERL]) + rule("tool", "cdn.example.net", 80, ["/sandbox/huge"]);

  function healthy({ probes, exitCode, stderr }: Outcome): Outcome["probes"] {
    if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${JSON.stringify(probes)} ${stderr.slice(-2000)}`);
    for (const [name, result] of Object.entries(probes))
      if (/^(before|after|at the end|beside)/.test(name)) expect(`${name}: ${result}`).toBe(`${name}: 200`);
    return probes;
  }

  test("threat-16: idle connections, descriptors, processes and an executable of terabytes stop at their limits", async () => {
    const probes = healthy(await arena.run("exhaust.pl", { network, env: { IDLE: "1500", SPARSE: "1" } }));
    expect(probes["let through among idle ones"]).toBe("0");
    expect(Number(probes["tunnels"])).toBe(300);
    expect(probes["denied beside tunnels"]).toBe("403 host_not_allowed");
    expect(Number(probes["open files"])).toBeLessThan(4096);
    expect(Number(probes["processes"])).toBeLessThan(1024);
    expect(Number(probes["processes"])).toBeGreaterThan(500);
    if (probes["size of the huge program"] === "huge") expect(probes["huge program"]).toBe("403 binary_integrity");
  }, 60_000);

  test("threat-09: a supervisor without free descriptors denies, and serves again when there are some", async () => {
    const program = await arena.spawn("exhaust.pl", { network, env: { WAIT: "1", IDLE: "400", TUNNELS: "50" } });
    await program.waitForOutput(/"probe":"waiting"/);
    const limit = `--nofile=${FEW_DESCRIPTORS}:${FEW_DESCRIPTORS}`;
    expect(await arena.net.runOnHost([...asUser(AS_USER), "/usr/bin/prlimit", "--pid", String(program.pid), limit])).toMatchObject({
      exitCode: 0,
    });
    await program.write("\n");
    const { exitCode, stdout, stderr } = await program.exited;
    const probes = healthy({ probes: readProbes(stdout), exitCode, stdout, stderr });
    expect(probes["let through among idle ones"]).toBe("0");
    expect(probes["denied beside tunnels"]).toBe("403 host_not_allowed");
  }, 60_000);

  test("threat-17: nothing outlives the supervisor, however it detached itself", async () => {
    const program = await arena.spawn("outlive.pl", { network });
    await program.waitForOutput(/"probe":"ready"/);
    const survivors = async () => (await arena.net.processes()).filter(({ commandLine }) => /sleep 8650|outlive\.pl/.test(commandLine));
    expect((await survivors()).length).toBeGreaterThanOrEqual(4);
    await program.kill("SIGKILL");
    await eventually("the end of every process", 5000, async () => (await survivors()).length === 0 || undefined);
    const left = (await arena.net.processes()).filter(({ commandLine }) => commandLine.includes("sandbox-init"));
    expect(left).toEqual([]);
  });

  test("threat-17: our init takes no signal from the box, and killing everybody ends the box's programs only", async () => {
    const program = await arena.spawn("outlive.pl", { network, env: { EVERYBODY: "1" } });
    const { exitCode, stdout } = await program.exited;
    expect(stdout).toContain('{"probe":"kill init","result":"EPERM"}');
    expect(exitCode).toBe(137);
    expect((await arena.net.processes()).filter(({ commandLine }) => /sandbox-init|sleep 8650/.test(commandLine))).toEqual([]);
  });
});
