import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { moveToGroups } from "../../../../linux/cgroup.ts";
import { SandboxSpecSchema } from "../../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { resourceLimits } from "../../sandboxes/resources.ts";
import { SandboxGroup } from "./cgroups.ts";
import { descendantsOf } from "./descendants.ts";
import { delegatedParent, findHierarchies, type Hierarchy } from "./hierarchies.ts";

const HYBRID = `30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 23 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 23 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
35 23 0:31 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices`;
const UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
const CONTAINER = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 ro";

describe("hierarchies", () => {
  test("hybrid: the controllers are version 1, the supervisor leaves the service's group in all that count", () => {
    const found = findHierarchies(HYBRID, () => "hugetlb");
    expect(found).toMatchObject({
      cpu: { mount: "/sys/fs/cgroup/cpu,cpuacct", version: 1 },
      memory: { mount: "/sys/fs/cgroup/memory", version: 1 },
      pids: { mount: "/sys/fs/cgroup/pids", version: 1 },
    });
    expect(found.all.map(({ mount }) => mount.split("/").at(-1))).toEqual(["unified", "systemd", "memory", "cpu,cpuacct", "pids"]);
  });

  test("version 2 has them all, a container's part of a hierarchy none", () => {
    const all = { mount: "/sys/fs/cgroup", version: 2, parent: "/sys/fs/cgroup/openshell" } as const;
    expect(findHierarchies(UNIFIED, () => "cpuset cpu io memory pids\n")).toEqual({ cpu: all, memory: all, pids: all, all: [all] });
    expect(findHierarchies(CONTAINER, () => "cpu memory pids")).toEqual({ all: [] });
  });

  test("an ordinary user divides what was delegated to it, and nothing else", () => {
    const v2 = { mount: "/sys/fs/cgroup", version: 2 } as const;
    const v1 = { mount: "/sys/fs/cgroup/cpu,cpuacct", version: 1 } as const;
    const own = "4:memory:/elsewhere\n3:cpu,cpuacct:/users/1001\n1:name=systemd:/\n0::/user.slice/user@1001.service/openshell.service\n";
    const service = "/sys/fs/cgroup/user.slice/user@1001.service/openshell.service";
    expect(delegatedParent(v2, "rw", own, (group) => group === service)).toBe(`${service}/openshell`);
    expect(delegatedParent(v2, "rw", own.replace("openshell.service", "openshell.service/gateway"), (group) => group === service)).toBe(
      `${service}/openshell`,
    );
    expect(delegatedParent(v1, "rw,cpu,cpuacct", own, () => true)).toBe("/sys/fs/cgroup/cpu,cpuacct/users/1001/openshell");
    expect(delegatedParent(v2, "rw", own, () => false)).toBeUndefined();
    expect(delegatedParent(v2, "rw", "0::/\n", () => true)).toBeUndefined();
  });
});

const here = findHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
const usable = process.getuid?.() === 0 && here.memory !== undefined && here.pids !== undefined && here.cpu !== undefined;

test.skipIf(!usable)("limits hold for the programs and not for the supervisor, and the groups are gone afterwards", async () => {
  const id = `test-${randomUUID()}`;
  const group = new SandboxGroup(id, here);
  const limits = { pids: 64, memoryBytes: 256 * 1024 * 1024, cpuMillis: 500 };
  const groups = group.agentGroups(limits);
  const spawn = (script: string) =>
    Bun.spawn({ cmd: ["/bin/sh", "-c", `read go; ${script}`], stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  const many = "for i in $(seq 100); do sleep 5 & done; echo done";
  const end = async (leaf: string) => {
    const procs = join(here.pids?.mount ?? "", "openshell", id, leaf, "cgroup.procs");
    for (const pid of readFileSync(procs, "utf8").trim().split("\n")) if (pid !== "") process.kill(Number(pid), "SIGKILL");
    while (readFileSync(procs, "utf8") !== "") await Bun.sleep(5);
  };
  try {
    group.prepare(limits);
    const [supervisor, program] = [spawn(many), spawn(many)];
    await group.enter(supervisor.pid, limits);
    moveToGroups(program.pid, groups);
    for (const [child, leaf] of [[supervisor, "supervisor"] as const, [program, "agent"] as const]) {
      for (const controller of ["memory", "pids", "cpu"]) {
        const line = readFileSync(`/proc/${child.pid}/cgroup`, "utf8")
          .split("\n")
          .find((text) => text.split(":")[1]?.split(",").includes(controller));
        if (line !== undefined) expect(line).toEndWith(`/openshell/${id}/${leaf}`);
      }
      child.stdin.write("go\n");
      await child.stdin.end();
    }
    // The program's shell cannot fork a 65th process.
    expect(await supervisor.exited).toBe(0);
    expect(await program.exited).not.toBe(0);
    expect(group.refusals().notStarted).toBeGreaterThan(0);
    await end("agent");
    await end("supervisor");
  } finally {
    await group.remove();
  }
  for (const { mount } of here.all) expect(existsSync(join(mount, "openshell", id))).toBe(false);
});

test.skipIf(!usable)(
  "what a supervisor started before it was moved is moved after it, and programs only where they have no group",
  async () => {
    const id = `test-${randomUUID()}`;
    const group = new SandboxGroup(id, here);
    const limits = { pids: 64 };
    // A helper, and the first process of another pid namespace, which has a program.
    const box = "unshare --pid --fork /bin/sh -c 'sleep 1000 & echo ready; wait'";
    const supervisor = Bun.spawn(["/bin/sh", "-c", `sleep 1000 & ${box} & wait`], {
      ...{ stdin: "ignore", stdout: "pipe", stderr: "ignore" },
    });
    try {
      group.prepare(limits);
      await supervisor.stdout.getReader().read();
      const forked = descendantsOf(supervisor.pid);
      await group.enter(supervisor.pid, limits);
      expect(forked.filter(({ isHelper }) => !isHelper)).toHaveLength(1);
      const inGroup = (mount: string) =>
        new Set(
          readFileSync(join(mount, "openshell", id, "supervisor/cgroup.procs"), "utf8")
            .trim()
            .split("\n")
            .map(Number),
        );
      const pids = (helpersOnly: boolean) => [
        supervisor.pid,
        ...forked.flatMap(({ pid, isHelper }) => (isHelper || !helpersOnly ? [pid] : [])),
      ];
      for (const hierarchy of here.all) expect(inGroup(hierarchy.mount)).toEqual(new Set(pids(hierarchy === here.pids)));
    } finally {
      supervisor.kill("SIGKILL");
      // Ends them.
      await group.remove();
    }
  },
);

/** Above what the kernel ever gives. */
const NOBODY = 2 ** 22 + 1;

describe("the paths of the groups", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "groups-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const GIB = 2 ** 30;
  /** A mount whose parent is there; a real one would have the files of a new group at once. */
  const mount = (name: string, version: 1 | 2): Hierarchy => {
    const parent = join(root, name, "openshell");
    mkdirSync(parent, { recursive: true });
    return { mount: join(root, name), version, parent };
  };
  const withFiles = (hierarchy: Hierarchy, files: Readonly<Record<string, readonly string[]>>) => {
    for (const [group, names] of Object.entries(files)) {
      mkdirSync(join(hierarchy.parent ?? "", group), { recursive: true });
      for (const name of names) writeFileSync(join(hierarchy.parent ?? "", group, name), "");
    }
  };
  const read = (hierarchy: Hierarchy, path: string) => readFileSync(join(hierarchy.parent ?? "", path), "utf8");

  test("version 2: supervisor and programs beside each other, limits for the programs, protection for the supervisor at every level", async () => {
    const all = mount("unified", 2);
    const hierarchies = { cpu: all, memory: all, pids: all, all: [all] };
    withFiles(all, {
      "": ["memory.low"],
      other: ["memory.low"],
      x: ["memory.low"],
      "x/supervisor": ["memory.low", "cgroup.procs"],
      "x/agent": ["cgroup.procs", "cpu.max", "memory.max", "memory.swap.max", "pids.max", "memory.low"],
    });
    const group = new SandboxGroup("x", hierarchies);
    const limits = { memoryBytes: GIB, cpuMillis: 1500, pids: 100 };
    group.prepare(limits);
    expect(["cpu.max", "memory.max", "memory.swap.max", "pids.max"].map((file) => read(all, `x/agent/${file}`))).toEqual([
      "150000 100000",
      `${GIB}`,
      "0",
      "100",
    ]);
    expect([
      read(all, "x/supervisor/memory.low"),
      read(all, "x/memory.low"),
      read(all, "memory.low"),
      read(all, "x/agent/memory.low"),
    ]).toEqual([`${96 * 2 ** 20}`, `${96 * 2 ** 20}`, `${2 * 96 * 2 ** 20}`, ""]);
    expect(group.agentGroups(limits)).toEqual([join(root, "unified/openshell/x/agent")]);
    await group.enter(NOBODY, limits);
    expect([read(all, "x/supervisor/cgroup.procs"), read(all, "x/agent/cgroup.procs")]).toEqual([`${NOBODY}`, ""]);
    moveToGroups(4712, group.agentGroups(limits));
    expect([read(all, "x/supervisor/cgroup.procs"), read(all, "x/agent/cgroup.procs")]).toEqual([`${NOBODY}`, "4712"]);
    writeFileSync(join(all.parent ?? "", "x/agent/memory.events"), "low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\n");
    writeFileSync(join(all.parent ?? "", "x/agent/memory.peak"), `${GIB}\n`);
    writeFileSync(join(all.parent ?? "", "x/agent/pids.events"), "max 2\n");
    expect(group.refusals()).toEqual({ killed: 3, peak: GIB, notStarted: 2 });
  });

  test("hybrid: programs are moved only where there is a limit", async () => {
    const [memory, pids, unified] = [mount("memory", 1), mount("pids", 1), mount("unified", 2)];
    const group = new SandboxGroup("x", { memory, pids, all: [unified, memory, pids] });
    withFiles(memory, { "x/agent": ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] });
    group.prepare({ memoryBytes: GIB });
    expect(read(memory, "x/agent/memory.limit_in_bytes")).toBe(`${GIB}`);
    expect(group.agentGroups({ memoryBytes: GIB })).toEqual([join(root, "memory/openshell/x/agent")]);
    expect([pids, unified].map(({ parent = "" }) => existsSync(join(parent, "x/supervisor")))).toEqual([true, true]);
    expect([pids, unified].map(({ parent = "" }) => existsSync(join(parent, "x/agent")))).toEqual([false, false]);
    expect(group.agentGroups({})).toEqual([]);
    await expect(group.enter(1, { memoryBytes: GIB })).rejects.toThrow();
  });

  test("a program is not started where its group is gone, and no file is made in its place", () => {
    expect(() => moveToGroups(process.pid, [root])).toThrow("does not take its programs");
    expect(existsSync(join(root, "cgroup.procs"))).toBe(false);
  });
});

test("a limit that the machine cannot enforce is refused, no limit never is", async () => {
  const nothing = new SandboxGroup("x", { all: [] });
  nothing.prepare({});
  await nothing.enter(process.pid, {});
  expect(() => nothing.prepare({ memoryBytes: 2 ** 30 })).toThrow("cannot limit memory: this machine has no cgroup controller 'memory'");
  expect(() => SandboxGroup.check({ pids: 100 }, { all: [] })).toThrow("cannot limit processes: this machine has no");
  const foreign = { mount: "/sys/fs/cgroup", version: 2 } as const;
  expect(() => SandboxGroup.check({ cpuMillis: 100 }, { cpu: foreign, all: [foreign] })).toThrow(
    "no cgroup with the controller 'cpu' was delegated",
  );
  SandboxGroup.check({}, { all: [] });
});

describe("limits of a spec", () => {
  const limits = (resources: object, pidsLimit = 0) =>
    resourceLimits(create(SandboxSpecSchema, { template: { resources: resources as never }, pidsLimit }));

  test("Kubernetes' quantities", () => {
    expect(limits({ limits: { cpu: "1", memory: "512Mi" } }, 256)).toEqual({ cpuMillis: 1000, memoryBytes: 512 * 2 ** 20, pids: 256 });
    expect(limits({ limits: { cpu: "500m", memory: "2G" } })).toEqual({ cpuMillis: 500, memoryBytes: 2e9 });
    expect(limits({ limits: { cpu: 0.25 } })).toEqual({ cpuMillis: 250 });
    expect(limits({})).toEqual({});
  });

  test.each([
    [{ limits: { cpu: "many" } }, "limits.cpu"],
    [{ limits: { cpu: "0" } }, "limits.cpu"],
    [{ limits: { memory: "1Mi" } }, "needs to start"],
    [{ limits: { memory: "-5" } }, "limits.memory"],
    [{ limits: { gpu: "1" } }, "'gpu' cannot be limited"],
    [{ limits: "all" }, "not an object"],
    [{ limit: {} }, "'limit' is not known"],
  ])("%j is refused", (resources, message) => {
    expect(() => limits(resources)).toThrow(message);
  });

  test("too few processes to start", () => {
    expect(() => limits({}, 3)).toThrow("spec.pids_limit: is 3, expected 8");
  });
});
