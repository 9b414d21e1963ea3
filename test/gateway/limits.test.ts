/** `--cpu`, `--memory` and `--pids` in a real sandbox: what it takes beyond them is stopped, and the gateway says so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { machineHierarchies } from "../../src/modes/gateway/drivers/local/hierarchies.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

const PERL = "/usr/bin/perl";
const groups = machineHierarchies();
const missing =
  missingForGateway() ??
  (existsSync(PERL) ? undefined : `${PERL} is needed`) ??
  (groups.cpu?.parent && groups.memory?.parent && groups.pids?.parent ? undefined : "a cgroup controller is missing");
if (missing !== undefined) console.log(`skipped: limits of sandboxes: ${missing}`);

const MEMORY_MIB = 256;
/** Above what our own threads take on a machine with many processors, below what one user may have in a box. */
const PIDS = 512;

describe.skipIf(missing !== undefined)("limits of a sandbox", () => {
  let host: GatewayHost;
  let id: string;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    const created = await host.cli(
      ...["sandbox", "create", "--name", "limited", "--cpu", "500m", "--memory", `${MEMORY_MIB}Mi`, "--pids", `${PIDS}`, "-o", "json"],
    );
    expect(created).toMatchObject({ code: 0 });
    ({ id } = JSON.parse(created.out) as { id: string });
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const exec = (...command: string[]) => host.cli("sandbox", "exec", "-n", "limited", "--", ...command);
  const phase = async () => (JSON.parse((await host.cli("sandbox", "get", "limited", "-o", "json")).out) as { phase: string }).phase;
  const file = (controller: "cpu" | "memory" | "pids", v1: string, v2: string) => {
    const hierarchy = groups[controller];
    return readFileSync(join(hierarchy?.parent ?? "", id, hierarchy?.version === 2 ? v2 : v1), "utf8").trim();
  };
  const logged = (text: string) =>
    eventually(
      `'${text}' in the log`,
      30_000,
      async () => (await host.cli("logs", "limited", "-n", "1000")).out.includes(text) || undefined,
    );

  test("the kernel knows them, for the supervisor and everything in the box", async () => {
    if (groups.cpu?.version === 2) expect(file("cpu", "", "cpu.max")).toBe("50000 100000");
    else expect([file("cpu", "cpu.cfs_quota_us", ""), file("cpu", "cpu.cfs_period_us", "")]).toEqual(["50000", "100000"]);
    expect(Number(file("memory", "memory.limit_in_bytes", "memory.max"))).toBe(MEMORY_MIB * 2 ** 20);
    expect(file("pids", "pids.max", "pids.max")).toBe(`${PIDS}`);
    const inside = (await exec("cat", "/proc/self/cgroup")).out;
    expect(inside).toContain(`openshell/${id}`);
    expect((await exec("cat", "/proc/self/oom_score_adj")).out).toBe("500\n");
    expect((await exec("/bin/sh", "-c", "echo 0 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj")).out).toBe("500\n");
    const supervisor = host.supervisors().find((found) => found.id === id)?.pid;
    expect(readFileSync(`/proc/${supervisor}/cgroup`, "utf8")).toContain(`openshell/${id}`);
  });

  test("a fork bomb stops at the limit, is told, and the sandbox goes on", async () => {
    const bomb =
      "my $n = 0; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 60; exit } $n++ } print $n; kill 9, -getpgrp";
    const { out } = await exec(PERL, "-e", `$| = 1; ${bomb}`);
    expect(Number(out)).toBeGreaterThan(8);
    expect(Number(out)).toBeLessThan(PIDS);
    await logged(`The limit of ${PIDS} processes and threads was reached`);
    await eventually("room again", 30_000, async () => (await exec("/bin/echo", "alive")).out === "alive\n" || undefined);
    expect(await phase()).toBe("Ready");
  });

  test("a memory hog is killed and reported, and the sandbox goes on", async () => {
    const { code } = await exec(PERL, "-e", "my @all; push @all, 'x' x 1_000_000 while 1");
    expect(code).toBe(137);
    await logged(`the memory limit of ${MEMORY_MIB} MiB was reached`);
    expect((await exec("/bin/echo", "alive")).out).toBe("alive\n");
    expect(await phase()).toBe("Ready");
  });

  test("many small hogs end before the supervisor does", async () => {
    const small = "for (1 .. 20) { if (!fork) { my $x = 'x' x 20_000_000; sleep 1; exit } } 1 while wait > 0";
    // Which of them ends when is the kernel's choice.
    await exec(PERL, "-e", small);
    expect((await exec("/bin/echo", "alive")).out).toBe("alive\n");
    expect(await phase()).toBe("Ready");
    // Where memory is short the kernel first reads pages of programs again and again.
  }, 240_000);

  test("what cannot be a limit is refused with the numbers, and leaves no name behind", async () => {
    for (const [flag, value, says] of [
      ["--memory", "1Mi", "128Mi"],
      ["--cpu", "0", "processors"],
      ["--pids", "3", "64"],
    ]) {
      const refused = await host.cli("sandbox", "create", "--name", "refused", flag ?? "", value ?? "");
      expect(refused.code).not.toBe(0);
      expect(refused.err).toContain(says ?? "");
    }
    expect((await host.cli("sandbox", "get", "refused")).code).not.toBe(0);
  });

  test("the groups go with the sandbox", async () => {
    expect((await host.cli("sandbox", "delete", "limited")).code).toBe(0);
    for (const { parent } of groups.all) expect(existsSync(join(parent ?? "/nowhere", id))).toBe(false);
    expect(dirname(groups.cpu?.parent ?? "")).not.toBe("");
  });
});
