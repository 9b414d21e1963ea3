import { existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { OpenShellError } from "../../../../error.ts";
import type { ResourceLimits } from "../../sandboxes/resources.ts";
import { descendantsOf } from "./descendants.ts";
import { CONTROLLERS, canWrite, type Hierarchies, type Hierarchy, machineHierarchies, readText } from "./hierarchies.ts";

/** Microseconds; what the kernel uses by default. */
const CPU_PERIOD = 100_000;
/** Between looks whether the last process of a group has gone. Milliseconds. */
const EMPTY_POLL_MS = 20;
/** The kernel ends the processes of a box after its init at its leisure. Milliseconds. */
const EMPTY_WAIT_MS = 5000;

/** What is moved may fork before: then it is looked for again, so often at most. */
const FORK_LOOKS = 3;
/** A group's processes; one that is written there is moved. */
const PROCS = "cgroup.procs";

/** How the kernel held a sandbox to its limits since its groups were made. */
export interface Refusals {
  /** Processes killed because the memory was used up. */
  readonly killed: number;
  /** Memory that the programs had at most, in bytes; 0 where the kernel does not say. */
  readonly peak: number;
  /** Processes and threads that were not started because there were too many. */
  readonly notStarted: number;
}

/** Its supervisor and the supervisor's helpers: outside of every limit, so that what the programs use up is never the supervisor's. */
const SUPERVISOR = "supervisor";
/** The programs in the box. */
const AGENT = "agent";

/** What a supervisor and its helpers take at rest; in version 2 the kernel takes this much of it last when the machine is short. Bytes. */
const SUPERVISOR_MEMORY = 96 * 1024 * 1024;

/**
 * The groups of one sandbox in every hierarchy: one for its supervisor, and where there is a limit one for its programs. They are beside each
 * other, since in version 2 a group that divides its controllers holds no process.
 */
export class SandboxGroup {
  readonly #hierarchies: Hierarchies;
  readonly #name: string;

  /** `name`: see `groupName`. */
  constructor(name: string, hierarchies: Hierarchies = machineHierarchies()) {
    this.#name = name;
    this.#hierarchies = hierarchies;
  }

  /** Refuses a limit that cannot be set here, before anything is made for the sandbox. */
  static check(limits: ResourceLimits, hierarchies: Hierarchies = machineHierarchies()): void {
    for (const name of limited(limits)) {
      const hierarchy = hierarchies[name];
      if (hierarchy?.parent === undefined || !canWrite(dirname(hierarchy.parent))) throw cannotLimit(name, hierarchy);
    }
  }

  /**
   * Makes the groups and sets the limits. A limit that this machine cannot enforce is an error; that the gateway's own group cannot be left
   * is not: then the supervisor stays in it.
   */
  prepare(limits: ResourceLimits): void {
    const { cpu, memory, pids, all } = this.#hierarchies;
    const withLimits = this.#limited(limits);
    for (const hierarchy of all) attempt(() => this.#make(hierarchy, withLimits.has(hierarchy)));
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

  /**
   * Moves a supervisor, and with it the helpers that it will start, into its groups; then those that it has started meanwhile. The kernel
   * lets who moves a process wait for every processor, 5 ms at rest and 60 when there is work: not the thread that the supervisor will soon
   * ask, and not one hierarchy for the other.
   */
  async enter(pid: number, limits: ResourceLimits): Promise<void> {
    const needed = this.#limited(limits);
    // First those by which services are ended.
    const { cpu, memory, pids, all } = this.#hierarchies;
    const later = new Set([cpu, memory, pids]);
    const order = [...all.filter((hierarchy) => !later.has(hierarchy)), ...all.filter((hierarchy) => later.has(hierarchy))];
    const groups = order.flatMap((hierarchy) => {
      const path = this.#path(hierarchy);
      return path === undefined ? [] : [{ procs: join(path, SUPERVISOR, PROCS), isNeeded: needed.has(hierarchy) }];
    });
    const moves = groups.map(({ procs, isNeeded }) => {
      const moved = move(pid, procs);
      return isNeeded ? moved : moved.catch(() => {});
    });
    await Promise.allSettled(moves);
    await Promise.all(moves);
    for (let look = 0; look < FORK_LOOKS && (await moveForked(pid, groups)); look += 1);
  }

  /** Where the supervisor is to move the programs of the box: a directory for each hierarchy that limits something. */
  agentGroups(limits: ResourceLimits): string[] {
    return [...this.#limited(limits)].flatMap((hierarchy) => {
      const path = this.#path(hierarchy);
      return path === undefined ? [] : [join(path, AGENT)];
    });
  }

  /** What the limits have stopped so far; zero where the kernel does not count it. */
  refusals(): Refusals {
    const { memory, pids } = this.#hierarchies;
    const killed = counter(this.#read(memory, memory?.version === 2 ? "memory.events" : "memory.oom_control"), "oom_kill");
    const peak = Number(this.#read(memory, memory?.version === 2 ? "memory.peak" : "memory.max_usage_in_bytes")) || 0;
    return { killed, peak, notStarted: counter(this.#read(pids, "pids.events"), "max") };
  }

  /** Ends what is left in the groups of a sandbox whose supervisor has ended, and removes them. */
  async remove(): Promise<void> {
    for (const hierarchy of this.#hierarchies.all) {
      const path = this.#path(hierarchy);
      if (path === undefined || !existsSync(path)) continue;
      for (const group of [join(path, AGENT), join(path, SUPERVISOR), path]) await removeGroup(group);
      this.#protect(hierarchy);
    }
  }

  #make(hierarchy: Hierarchy, isLimited: boolean): void {
    const { parent, version } = hierarchy;
    const path = this.#path(hierarchy);
    if (parent === undefined || path === undefined) return;
    mkdirSync(path, { recursive: true });
    if (version === 2) {
      for (const name of CONTROLLERS) {
        if (this.#hierarchies[name] !== hierarchy) continue;
        for (const directory of [dirname(parent), parent, path])
          attempt(() => writeFileSync(join(directory, "cgroup.subtree_control"), `+${name}`));
      }
    }
    for (const name of isLimited ? [SUPERVISOR, AGENT] : [SUPERVISOR]) mkdirSync(join(path, name), { recursive: true });
    if (isLimited) this.#protect(hierarchy);
  }

  /** Where memory is short, limits of others included, the kernel takes the supervisors' last. Each level can give on what it has. */
  #protect(hierarchy: Hierarchy): void {
    const { parent, version } = hierarchy;
    const path = this.#path(hierarchy);
    if (version === 1 || this.#hierarchies.memory !== hierarchy || parent === undefined || path === undefined) return;
    const protect = (group: string, bytes: number): void =>
      void attempt(() => writeFileSync(join(group, "memory.low"), String(bytes), { flag: "r+" }));
    protect(join(path, SUPERVISOR), SUPERVISOR_MEMORY);
    protect(path, SUPERVISOR_MEMORY);
    attempt(() => {
      const sandboxes = readdirSync(parent, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      protect(parent, sandboxes.length * SUPERVISOR_MEMORY);
    });
  }

  #limited(limits: ResourceLimits): Set<Hierarchy> {
    return new Set(limited(limits).flatMap((name) => this.#hierarchies[name] ?? []));
  }

  #path({ parent }: Hierarchy): string | undefined {
    return parent === undefined ? undefined : join(parent, this.#name);
  }

  #read(hierarchy: Hierarchy | undefined, file: string): string {
    const path = hierarchy === undefined ? undefined : this.#path(hierarchy);
    return path === undefined ? "" : readText(join(path, AGENT, file));
  }

  #limit(name: Controller, hierarchy: Hierarchy | undefined, values: readonly (readonly [string, string | number])[]): void {
    try {
      for (const [file, value] of values) this.#write(hierarchy, file, value);
    } catch (cause) {
      throw cannotLimit(name, hierarchy, cause);
    }
  }

  #write(hierarchy: Hierarchy | undefined, file: string, value: string | number): void {
    const group = hierarchy === undefined ? undefined : this.#path(hierarchy);
    const path = group === undefined ? undefined : join(group, AGENT, file);
    // Writing would make a plain file where the controller is not there.
    if (path === undefined || !existsSync(path)) throw new Error(`no ${file}`);
    writeFileSync(path, String(value));
  }
}

function move(pid: number, procs: string): Promise<void> {
  return writeFile(procs, String(pid), { flag: "r+" });
}

/**
 * Moves what a supervisor started before it was moved itself. Where there is a limit programs have a group of their own, to which the
 * supervisor moves them. False when there was nothing.
 */
async function moveForked(supervisor: number, groups: readonly { readonly procs: string; readonly isNeeded: boolean }[]): Promise<boolean> {
  const forked = descendantsOf(supervisor);
  if (forked.length === 0) return false;
  const moves = groups.map(async ({ procs, isNeeded }) => {
    const there = new Set((await readFile(procs, "utf8").catch(() => "")).split("\n").map(Number));
    const missing = forked.filter(({ pid, isHelper }) => (isHelper || !isNeeded) && !there.has(pid));
    // One that cannot be moved has ended.
    const moved = await Promise.allSettled(missing.map(({ pid }) => move(pid, procs)));
    return moved.some(({ status }) => status === "fulfilled");
  });
  return (await Promise.all(moves)).includes(true);
}

/** Ends what is left in a group, and removes it. */
async function removeGroup(path: string): Promise<void> {
  for (let waited = 0; existsSync(path); waited += EMPTY_POLL_MS) {
    if (attempt(() => rmdirSync(path)) || waited >= EMPTY_WAIT_MS) return;
    for (const pid of processesOf(path)) attempt(() => process.kill(pid, "SIGKILL"));
    await Bun.sleep(EMPTY_POLL_MS);
  }
}

function limited(limits: ResourceLimits): Controller[] {
  const asked = { cpu: limits.cpuMillis, memory: limits.memoryBytes, pids: limits.pids };
  return CONTROLLERS.filter((name) => asked[name] !== undefined);
}

type Controller = (typeof CONTROLLERS)[number];

/** Says which of the three it is: no controller, none for this user, or none that can be written. */
function cannotLimit(name: Controller, hierarchy: Hierarchy | undefined, cause?: unknown): OpenShellError {
  const what = { cpu: "processors", memory: "memory", pids: "processes" }[name];
  const without = `create the sandbox without --${name}`;
  const error = (problem: string, next: string): OpenShellError =>
    new OpenShellError("failed_precondition", `this gateway cannot limit ${what}: ${problem}`, { cause, next });
  if (hierarchy === undefined) return error(`this machine has no cgroup controller '${name}' that can be used`, without);
  if (hierarchy.parent !== undefined) return error(`the cgroup controller '${name}' at ${hierarchy.mount} cannot be written`, without);
  return error(
    `it runs as an ordinary user, to whom no cgroup with the controller '${name}' was delegated`,
    `${without}, or start the gateway in a delegated group: systemd-run --user --scope -p Delegate=yes openshell gateway serve`,
  );
}

/** Those in a group; not those of another pid namespace, which are written as 0, and which to kill would mean our own process group. */
function processesOf(group: string): number[] {
  const pids = readText(join(group, PROCS)).split("\n").map(Number);
  return pids.filter((pid) => pid > 1 && pid !== process.pid);
}

/** A line `name number` of a statistics file. */
function counter(text: string, name: string): number {
  const line = text.split("\n").find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1)) || 0;
}

/** Best effort: containers and restricted services may have a read-only hierarchy. False when it failed. */
function attempt(step: () => void): boolean {
  try {
    step();
    return true;
  } catch {
    return false;
  }
}
