import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../../error.ts";
import type { ResourceLimits } from "../../sandboxes/resources.ts";

/** Where one controller is: hybrid machines have some in version 1 and the rest, or none, in version 2. */
interface Hierarchy {
  readonly mount: string;
  readonly version: 1 | 2;
}

/** The cgroup hierarchies of this machine. */
export interface Hierarchies {
  readonly cpu?: Hierarchy;
  readonly memory?: Hierarchy;
  readonly pids?: Hierarchy;
  /** Every mount that a supervisor must be moved in, so that nothing that ends the gateway's group ends it too. */
  readonly all: readonly Hierarchy[];
}

/** The group of all sandboxes, directly below the root: outside of any service's group. */
const PARENT = "openshell";
/** Microseconds; what the kernel uses by default. */
const CPU_PERIOD = 100_000;
const CONTROLLERS = ["cpu", "memory", "pids"] as const;
/** Version 1 hierarchy without a controller, by which systemd knows services. */
const SYSTEMD = "name=systemd";

/** Finds the hierarchies in the text of /proc/self/mountinfo. `controllers` reads `cgroup.controllers` of a version 2 mount. */
export function findHierarchies(
  mountinfo: string,
  controllers: (mount: string) => string = (mount) => readText(join(mount, "cgroup.controllers")),
): Hierarchies {
  const found: { -readonly [name in keyof Hierarchies]?: Hierarchies[name] } = {};
  const all: Hierarchy[] = [];
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root, mount] = left.split(" ");
    const [type, , options = ""] = right.split(" ");
    // A mount of a part of the hierarchy is a container's view: its root is not the machine's.
    if (mount === undefined || root !== "/" || (type !== "cgroup" && type !== "cgroup2")) continue;
    const hierarchy: Hierarchy = { mount, version: type === "cgroup2" ? 2 : 1 };
    const names = hierarchy.version === 2 ? controllers(mount).trim().split(" ") : options.split(",");
    const mine = CONTROLLERS.filter((name) => names.includes(name));
    for (const name of mine) found[name] = hierarchy;
    if (hierarchy.version === 2 || mine.length > 0 || names.includes(SYSTEMD)) all.push(hierarchy);
  }
  return { ...found, all };
}

/** The group of one sandbox in every hierarchy. */
export class SandboxGroup {
  readonly #hierarchies: Hierarchies;
  readonly #id: string;

  constructor(id: string, hierarchies: Hierarchies = findHierarchies(readText("/proc/self/mountinfo"))) {
    this.#id = id;
    this.#hierarchies = hierarchies;
  }

  /**
   * Makes the groups and sets the limits. A limit that this machine cannot enforce is an error; that the gateway's own group cannot be left
   * is not: then the supervisor stays in it.
   */
  prepare(limits: ResourceLimits): void {
    const { cpu, memory, pids, all } = this.#hierarchies;
    for (const hierarchy of all) attempt(() => this.#make(hierarchy));
    const { cpuMillis, memoryBytes, pids: processes } = limits;
    if (cpuMillis !== undefined) {
      const quota = Math.round((cpuMillis * CPU_PERIOD) / 1000);
      this.#limit(
        "cpu",
        cpu,
        cpu?.version === 2
          ? [["cpu.max", `${quota} ${CPU_PERIOD}`]]
          : [
              ["cpu.cfs_period_us", CPU_PERIOD],
              ["cpu.cfs_quota_us", quota],
            ],
      );
    }
    if (memoryBytes !== undefined) {
      this.#limit("memory", memory, [[memory?.version === 2 ? "memory.max" : "memory.limit_in_bytes", memoryBytes]]);
      // Swap would make the limit one of speed only; not every kernel accounts it.
      attempt(() =>
        this.#write(
          memory,
          memory?.version === 2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
          memory?.version === 2 ? 0 : memoryBytes,
        ),
      );
    }
    if (processes !== undefined) this.#limit("pids", pids, [["pids.max", processes]]);
  }

  /** Moves a process, and with it what it will start, into the groups. */
  enter(pid: number, limits: ResourceLimits): void {
    const needed = new Set(
      [
        limits.cpuMillis === undefined ? undefined : this.#hierarchies.cpu,
        limits.memoryBytes === undefined ? undefined : this.#hierarchies.memory,
      ].concat(limits.pids === undefined ? undefined : this.#hierarchies.pids),
    );
    for (const hierarchy of this.#hierarchies.all) {
      const move = (): void => writeFileSync(join(this.#path(hierarchy), "cgroup.procs"), String(pid));
      if (needed.has(hierarchy)) move();
      else attempt(move);
    }
  }

  /** Removes the groups; their processes have ended. */
  remove(): void {
    for (const hierarchy of this.#hierarchies.all) attempt(() => rmdirSync(this.#path(hierarchy)));
  }

  #make(hierarchy: Hierarchy): void {
    const parent = join(hierarchy.mount, PARENT);
    mkdirSync(parent, { recursive: true });
    if (hierarchy.version === 2) {
      for (const name of CONTROLLERS) {
        if (this.#hierarchies[name] !== hierarchy) continue;
        for (const directory of [hierarchy.mount, parent])
          attempt(() => writeFileSync(join(directory, "cgroup.subtree_control"), `+${name}`));
      }
    }
    mkdirSync(this.#path(hierarchy), { recursive: true });
  }

  #path(hierarchy: Hierarchy): string {
    return join(hierarchy.mount, PARENT, this.#id);
  }

  #limit(name: string, hierarchy: Hierarchy | undefined, values: readonly (readonly [string, string | number])[]): void {
    try {
      for (const [file, value] of values) this.#write(hierarchy, file, value);
    } catch (cause) {
      throw new OpenShellError(
        "failed_precondition",
        `this machine cannot limit ${name}: the cgroup controller is missing or not writable`,
        {
          cause,
          next: `create the sandbox without a ${name} limit`,
        },
      );
    }
  }

  #write(hierarchy: Hierarchy | undefined, file: string, value: string | number): void {
    const path = hierarchy === undefined ? undefined : join(this.#path(hierarchy), file);
    // Writing would make a plain file where the controller is not there.
    if (path === undefined || !existsSync(path)) throw new Error(`no ${file}`);
    writeFileSync(path, String(value));
  }
}

function attempt(step: () => void): void {
  try {
    step();
  } catch {
    // Best effort: containers and restricted services may have a read-only hierarchy.
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
