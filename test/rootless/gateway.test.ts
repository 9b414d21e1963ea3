/** `openshell gateway serve` as an ordinary user: its own state, sandboxes that are that user, and limits where a group was delegated. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { groupName, groupOwner } from "../../src/modes/gateway/drivers/local/cgroup-sweep.ts";
import { findHierarchies } from "../../src/modes/gateway/drivers/local/hierarchies.ts";
import { PERL } from "../attacks/arena.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost } from "../gateway/host.ts";
import { missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: the gateway of an ordinary user: ${missing}`);

const DENIED = `use Socket; socket(my $p, PF_INET, SOCK_STREAM, 0); connect $p, pack_sockaddr_in(3128, inet_aton("10.200.0.1")); syswrite $p, "CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n"; my $b = ""; sysread $p, $b, 65536; print +(split " ", $b)[1]`;

describe.skipIf(missing !== undefined)("the gateway of an ordinary user", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open(USER);
    await host.start();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());
  const must = async (...argv: string[]) => {
    const { code, out, err } = await host.cli(...argv);
    if (code !== 0) throw new Error(`${argv.join(" ")}: ${out}${err}\n${host.diagnosis()}`);
    return out;
  };

  test("everything that it writes is the user's own, and nothing goes to the machine's directories", () => {
    const state = join(host.directory, "state/openshell");
    for (const path of [
      state,
      join(state, "gateway"),
      join(state, "tls/ca.key"),
      join(host.directory, "config/openshell/active_gateway"),
    ]) {
      if (existsSync(path)) expect(statSync(path).uid).toBe(USER);
    }
    expect(statSync(state).mode & 0o777).toBe(0o700);
    expect(existsSync(join(host.directory, "system"))).toBe(false);
  });

  test("create, exec, denial, draft, approve, undo, stop, start, delete", async () => {
    await must("sandbox", "create", "--name", "mine", "--label", "team=a");
    const facts = await must(
      "sandbox",
      "exec",
      "-n",
      "mine",
      "--",
      "/bin/sh",
      "-c",
      "id -u; touch /sandbox/kept; grep CapEff /proc/self/status",
    );
    expect(facts).toBe(`${USER}\nCapEff:\t0000000000000000\n`);
    expect(statSync(join(host.sandboxesDirectory, readdirSync(host.sandboxesDirectory)[0] ?? "", "workspace/kept")).uid).toBe(USER);
    expect(await must("sandbox", "get", "mine")).toContain("your user");

    expect(await must("sandbox", "exec", "-n", "mine", "--", PERL, "-e", DENIED)).toBe("403");
    const chunk = await eventually(
      "a proposal",
      60_000,
      async () => {
        await must("sandbox", "exec", "-n", "mine", "--", PERL, "-e", DENIED);
        const found = /"id": ?"([0-9a-f-]+)"/.exec(await must("sandbox", "draft", "mine", "-o", "json"));
        return found?.[1];
      },
      async () => host.diagnosis(),
    );
    await must("sandbox", "draft", "approve", "mine", chunk, "--wait", "--yes");
    expect(await must("policy", "get", "mine")).toContain("api.example.com");
    // Allowed now; that there is no such server is another answer than no.
    expect(await must("sandbox", "exec", "-n", "mine", "--", PERL, "-e", DENIED)).not.toBe("403");
    await must("sandbox", "draft", "undo", "mine", chunk, "--wait");
    expect(await must("sandbox", "exec", "-n", "mine", "--", PERL, "-e", DENIED)).toBe("403");

    await must("sandbox", "stop", "mine");
    expect(host.supervisors()).toEqual([]);
    await must("sandbox", "start", "mine");
    await eventually("ready again", 60_000, async () => /^Phase: +Ready$/m.test(await must("sandbox", "get", "mine")) || undefined);
    expect(await must("sandbox", "exec", "-n", "mine", "--", "/bin/ls", "/sandbox")).toBe("kept\n");
  }, 180_000);

  test("sandboxes outlive the gateway and are found again", async () => {
    const before = host.supervisors();
    await host.kill("SIGKILL");
    expect(host.supervisors()).toEqual(before);
    await host.start();
    await eventually(
      "an adopted sandbox",
      60_000,
      async () => (await host.cli("sandbox", "exec", "-n", "mine", "--", "/bin/echo", "here")).out === "here\n" || undefined,
    );
    expect(host.supervisors()).toEqual(before);
    await must("sandbox", "delete", "mine");
    expect(host.supervisors()).toEqual([]);
    expect(host.sandboxDirectories()).toEqual([]);
  }, 120_000);

  test("what only root's gateway can is refused by name", async () => {
    const refused = await host.cli("sandbox", "create", "--name", "limited", "--memory", "256Mi");
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining("it runs as an ordinary user, to whom no cgroup") });
    expect((await host.cli("sandbox", "list", "-o", "name")).out).toBe("");
    expect((await host.cli("gateway", "serve", "--allow-uid", "1002")).err).toContain("sandboxes of an ordinary user run as that user");
  });
});

const hierarchies = findHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
const missingGroups =
  missing ??
  (hierarchies.memory?.version === 1 && hierarchies.pids?.version === 1 ? undefined : "controllers of cgroup version 1 are needed");
if (missing === undefined && missingGroups !== undefined) console.log(`skipped: a delegated cgroup: ${missingGroups}`);

test.skipIf(missingGroups !== undefined)(
  "in a group that was delegated to the user, limits hold",
  async () => {
    const name = `openshell-test-${randomUUID()}`;
    const groups = [hierarchies.memory, hierarchies.pids].map((hierarchy) => join(hierarchy?.mount ?? "", name));
    for (const group of groups) {
      mkdirSync(group);
      for (const path of [group, join(group, "cgroup.procs"), join(group, "tasks")]) chownSync(path, USER, USER);
    }
    try {
      await using host = await GatewayHost.open(USER);
      host.prefix = ["/bin/sh", "-c", `for g in ${groups.join(" ")}; do echo $$ > $g/cgroup.procs; done; exec "$@"`, "sh"];
      await host.start();
      const created = await host.cli("sandbox", "create", "--name", "limited", "--memory", "256Mi", "--pids", "512");
      expect(created).toMatchObject({ code: 0 });
      const [id = ""] = host.sandboxDirectories();
      const group = groupName(groupOwner(host.sandboxesDirectory), id);
      expect(readFileSync(join(groups[1] ?? "", "openshell", group, "agent/pids.max"), "utf8")).toBe("512\n");
      const inside = (await host.cli("sandbox", "exec", "-n", "limited", "--", "cat", "/proc/self/cgroup")).out;
      const supervisor = readFileSync(`/proc/${host.supervisors()[0]?.pid}/cgroup`, "utf8");
      for (const controller of ["memory", "pids"]) {
        expect(inside).toContain(`:${controller}:/${name}/openshell/${group}/agent\n`);
        expect(supervisor).toContain(`:${controller}:/${name}/openshell/${group}/supervisor\n`);
      }
      const hog = await host.cli("sandbox", "exec", "-n", "limited", "--", PERL, "-e", "my @all; push @all, 'x' x 1_000_000 while 1");
      expect(hog.code).toBe(137);
      expect((await host.cli("sandbox", "exec", "-n", "limited", "--", "/bin/echo", "alive")).out).toBe("alive\n");
      // Processors were not delegated.
      expect((await host.cli("sandbox", "create", "--cpu", "1")).err).toContain("no cgroup with the controller 'cpu' was delegated");
    } finally {
      for (const group of groups) {
        for (const path of [join(group, "openshell"), group]) if (existsSync(path)) rmdirSync(path);
      }
    }
  },
  120_000,
);
