import { describe, expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SandboxSpecSchema } from "../../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { resourceLimits } from "../../sandboxes/resources.ts";
import { SandboxGroup } from "./cgroups.ts";
import { delegatedParent, findHierarchies } from "./hierarchies.ts";

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

test.skipIf(!usable)("limits hold for a real process, and the group is gone afterwards", async () => {
  const id = `test-${randomUUID()}`;
  const group = new SandboxGroup(id, here);
  const limits = { pids: 64, memoryBytes: 256 * 1024 * 1024, cpuMillis: 500 };
  try {
    group.prepare(limits);
    const child = Bun.spawn({
      cmd: ["/bin/sh", "-c", "read go; for i in $(seq 100); do sleep 5 & done 2>&1; echo done"],
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
    });
    group.enter(child.pid, limits);
    expect(readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toContain(`/openshell/${id}`);
    child.stdin.write("go\n");
    await child.stdin.end();
    // The shell cannot fork a 65th process.
    expect(await child.exited).not.toBe(0);
    const procs = join(here.pids?.mount ?? "", "openshell", id, "cgroup.procs");
    for (const pid of readFileSync(procs, "utf8").trim().split("\n")) if (pid !== "") process.kill(Number(pid), "SIGKILL");
    while (readFileSync(procs, "utf8") !== "") await Bun.sleep(5);
  } finally {
    await group.remove();
  }
  for (const { mount } of here.all) expect(existsSync(join(mount, "openshell", id))).toBe(false);
});

test("a limit that the machine cannot enforce is refused, no limit never is", () => {
  const nothing = new SandboxGroup("x", { all: [] });
  nothing.prepare({});
  nothing.enter(process.pid, {});
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
    expect(() => limits({}, 3)).toThrow("spec.pids_limit: is 3, expected 64");
  });
});
