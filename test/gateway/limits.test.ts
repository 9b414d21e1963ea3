/** `--cpu`, `--memory` and `--pids` in a real sandbox: what it takes beyond them is stopped, and the gateway says so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { groupName, groupOwner } from "../../src/modes/gateway/drivers/local/cgroup-sweep.ts";
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
      ...["--", "/bin/sh", "-c", "cat /proc/self/cgroup > main-groups; exec sleep 100000"],
    );
    expect(created).toMatchObject({ code: 0 });
    ({ id } = JSON.parse(created.out) as { id: string });
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const exec = (...command: string[]) => host.cli("sandbox", "exec", "-n", "limited", "--", ...command);
  const phase = async () => (JSON.parse((await host.cli("sandbox", "get", "limited", "-o", "json")).out) as { phase: string }).phase;
  const file = (controller: "cpu" | "memory" | "pids", v1: string, v2: string) => {
    const hierarchy = groups[controller];
    return readFileSync(
      join(hierarchy?.parent ?? "", groupName(groupOwner(host.sandboxesDirectory), id), "agent", hierarchy?.version === 2 ? v2 : v1),
      "utf8",
    ).trim();
  };
  const logged = (text: string) =>
    eventually(
      `'${text}' in the log`,
      30_000,
      async () => (await host.cli("logs", "limited", "-n", "1000")).out.includes(text) || undefined,
    );

  /** The group in each hierarchy that limits something, of /proc/PID/cgroup. */
  const groupsIn = (text: string) => {
    const limiting = new Set([groups.cpu, groups.memory, groups.pids]);
    const names = ["cpu", "memory", "pids"] as const;
    return [...limiting].map((hierarchy) => {
      const own = names.filter((name) => groups[name] === hierarchy);
      const line = text.split("\n").find((entry) => {
        const [number, controllers = ""] = entry.split(":");
        return hierarchy?.version === 2 ? number === "0" : own.some((name) => controllers.split(",").includes(name));
      });
      return line?.split(":").at(-1);
    });
  };

  test("the kernel knows them: for everything in the box, however it was started, and not for the supervisor", async () => {
    if (groups.cpu?.version === 2) expect(file("cpu", "", "cpu.max")).toBe("50000 100000");
    else expect([file("cpu", "cpu.cfs_quota_us", ""), file("cpu", "cpu.cfs_period_us", "")]).toEqual(["50000", "100000"]);
    expect(Number(file("memory", "memory.limit_in_bytes", "memory.max"))).toBe(MEMORY_MIB * 2 ** 20);
    expect(file("pids", "pids.max", "pids.max")).toBe(`${PIDS}`);
    const limiting = groupsIn("").map(() => `/openshell/${groupName(groupOwner(host.sandboxesDirectory), id)}/agent`);
    const executed = (await exec("cat", "/proc/self/cgroup")).out;
    expect(groupsIn(executed)).toEqual(limiting);
    expect(groupsIn((await exec("cat", "/sandbox/main-groups")).out)).toEqual(limiting);
    expect(
      groupsIn((await host.cli("sandbox", "exec", "-n", "limited", "--tty", "--", "cat", "/proc/self/cgroup")).out.replaceAll("\r", "")),
    ).toEqual(limiting);
    expect(groupsIn((await host.fed("cat /proc/self/cgroup\n", "sandbox", "connect", "limited")).out)).toEqual(limiting);
    expect((await exec("cat", "/proc/self/oom_score_adj")).out).toBe("500\n");
    expect((await exec("/bin/sh", "-c", "echo 0 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj")).out).toBe("500\n");
    const supervisor = host.supervisors().find((found) => found.id === id)?.pid;
    expect(groupsIn(readFileSync(`/proc/${supervisor}/cgroup`, "utf8"))).toEqual(
      limiting.map((group) => group.replace("agent", "supervisor")),
    );
  });

  test("a fork bomb stops at the limit, is told, and the sandbox can be entered meanwhile", async () => {
    const bomb = "my $n = 0; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 600; exit } $n++ } print $n; sleep 600";
    const running = host.spawn("sandbox", "exec", "-n", "limited", "--", PERL, "-e", `$| = 1; ${bomb}`);
    const { value } = await running.stdout.getReader().read();
    const count = Number(new TextDecoder().decode(value));
    expect(count).toBeGreaterThan(8);
    expect(count).toBeLessThan(PIDS);
    await logged(`The limit of ${PIDS} processes and threads was reached`);
    // One program more is always started.
    expect((await exec("/bin/echo", "alive")).out).toBe("alive\n");
    expect((await host.fed("echo alive too\n", "sandbox", "connect", "limited")).out).toContain("alive too");
    expect(await phase()).toBe("Ready");
    running.kill();
    await running.exited;
    await eventually("room again", 30_000, async () => Number(file("pids", "pids.current", "pids.current")) < 8 || undefined);
  }, 120_000);

  test("a memory hog is killed and reported with both numbers, and the sandbox goes on", async () => {
    const { code } = await exec(PERL, "-e", "my @all; push @all, 'x' x 1_000_000 while 1");
    expect(code).toBe(137);
    await logged(`MiB of memory were in use, the limit is ${MEMORY_MIB} MiB`);
    expect((await exec("/bin/echo", "alive")).out).toBe("alive\n");
    expect(await phase()).toBe("Ready");
  });

  test("while many small hogs are at the limit, the supervisor answers", async () => {
    // Together far beyond the limit; whoever ends is followed by another.
    const hogs =
      "for (1 .. 40) { if (!fork) { my $x = 'x' x 20_000_000; sleep 1; exit } } print 1; while (1) { wait; if (!fork) { my $x = 'x' x 20_000_000; sleep 1; exit } }";
    const running = host.spawn("sandbox", "exec", "-n", "limited", "--", PERL, "-e", `$| = 1; ${hogs}`);
    await running.stdout.getReader().read();
    const supervisor = host.supervisors().find((found) => found.id === id)?.pid;
    for (let round = 0; round < 5; round += 1) {
      expect(await phase()).toBe("Ready");
      // It is started, and may be what the kernel takes.
      expect([0, 137]).toContain((await exec("/bin/true")).code);
    }
    running.kill();
    await running.exited;
    await eventually("the end of the hogs", 60_000, async () => (await exec("/bin/echo", "alive")).out === "alive\n" || undefined);
    expect(host.supervisors().find((found) => found.id === id)?.pid).toBe(supervisor);
  }, 240_000);

  test("files in memory are the programs' memory, leave room for programs, and can be removed", async () => {
    const usage = () => Number(file("memory", "memory.usage_in_bytes", "memory.current"));
    // Programs that are ending, and files that were read, count too and go when room is needed.
    await eventually("the room of before", 30_000, async () => usage() < (MEMORY_MIB / 2) * 2 ** 20 || undefined);
    for (const [path, mebibytes] of [
      ["/dev/shm/full", MEMORY_MIB / 4],
      ["/tmp/full", MEMORY_MIB / 2],
    ] as const) {
      const { err } = await exec("/bin/dd", "if=/dev/zero", `of=${path}`, "bs=1M");
      expect(err).toContain("No space left on device");
      expect(err).toContain(`${mebibytes}+0 records out`);
    }
    expect(usage()).toBeGreaterThan(((MEMORY_MIB * 3) / 4 - 8) * 2 ** 20);
    expect((await exec("/bin/echo", "alive")).out).toBe("alive\n");
    expect((await exec("/bin/rm", "/tmp/full", "/dev/shm/full")).code).toBe(0);
    await eventually("freed memory", 30_000, async () => usage() < (MEMORY_MIB / 2) * 2 ** 20 || undefined);
  });

  test("threat-16 the programs cannot change their limits or leave their groups", async () => {
    const script = `
      my ($unshare, $mount) = map { $_ + 0 } @ARGV;
      my @won;
      push @won, "a cgroup file system" if grep { / cgroup2? / } do { open my $f, "<", "/proc/self/mounts"; <$f> };
      push @won, "/sys/fs/cgroup" if -e "/sys/fs/cgroup";
      push @won, "a cgroup namespace" if syscall($unshare, 0x02000000) == 0;
      push @won, "a user and a cgroup namespace" if syscall($unshare, 0x12000000) == 0;
      for (1, 2) { my ($none, $place, $type) = ("none", "/tmp", $_ == 1 ? "cgroup" : "cgroup2"); push @won, "mount $type" if syscall($mount, $none, $place, $type, 0, 0) == 0 }
      for my $file (glob "/proc/[0-9]*/cgroup /proc/[0-9]*/ns/cgroup") { push @won, $file if open my $f, "+<", $file }
      print @won ? join(", ", @won) : "nothing";
    `;
    const numbers = process.arch === "x64" ? ["272", "165"] : ["97", "40"];
    expect((await exec(PERL, "-e", script, ...numbers)).out).toBe("nothing");
  });

  test("limits hold, and are told, after the gateway was killed and has adopted the sandbox", async () => {
    await host.kill("SIGKILL");
    await host.start();
    await eventually("the adopted sandbox", 60_000, async () => (await exec("/bin/echo", "here")).out === "here\n" || undefined);
    expect(groupsIn((await exec("cat", "/proc/self/cgroup")).out)[0]).toMatch(new RegExp(`^/openshell/[0-9a-f]{16}\\.${id}/agent$`));
    const told = async () => (await host.cli("logs", "limited", "-n", "1000")).out.split("MiB of memory were in use").length;
    const before = await told();
    expect((await exec(PERL, "-e", "my @all; push @all, 'x' x 1_000_000 while 1")).code).toBe(137);
    await eventually("another line in the log", 30_000, async () => (await told()) > before || undefined);
  }, 120_000);

  test("what cannot be a limit is refused with the numbers, and leaves no name behind", async () => {
    for (const [flag, value, says] of [
      ["--memory", "1Mi", "16Mi"],
      ["--cpu", "0", "processors"],
      ["--pids", "3", "8"],
    ]) {
      const refused = await host.cli("sandbox", "create", "--name", "refused", flag ?? "", value ?? "");
      expect(refused.code).not.toBe(0);
      expect(refused.err).toContain(says ?? "");
    }
    expect((await host.cli("sandbox", "get", "refused")).code).not.toBe(0);
  });

  test("the groups go with the sandbox", async () => {
    const all = groups.all.map(({ parent }) => join(parent ?? "/nowhere", groupName(groupOwner(host.sandboxesDirectory), id)));
    for (const group of all) expect([group, existsSync(group)]).toEqual([group, true]);
    expect((await host.cli("sandbox", "delete", "limited")).code).toBe(0);
    for (const group of all) expect([group, existsSync(group)]).toEqual([group, false]);
    expect(dirname(groups.cpu?.parent ?? "")).not.toBe("");
  });
});
