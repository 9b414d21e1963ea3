import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Where one controller is: hybrid machines have some in version 1 and the rest, or none, in version 2. */
export interface Hierarchy {
  readonly mount: string;
  readonly version: 1 | 2;
  /** The group that holds those of the sandboxes. Absent: this user may make none here. */
  readonly parent?: string;
}

/** The cgroup hierarchies of this machine. */
export interface Hierarchies {
  readonly cpu?: Hierarchy;
  readonly memory?: Hierarchy;
  readonly pids?: Hierarchy;
  /** Every mount that a supervisor must be moved in, so that nothing that ends the gateway's group ends it too. */
  readonly all: readonly Hierarchy[];
}

export const CONTROLLERS = ["cpu", "memory", "pids"] as const;

/** The group of all sandboxes: root's directly below the root of the hierarchy, outside of any service's group. */
const PARENT = "openshell";
/** Where an ordinary user's gateway moves itself: in version 2 a group that divides its controllers holds no process. systemd's DelegateSubgroup= says the same name. */
const GATEWAY = "gateway";
/** Version 1 hierarchy without a controller, by which systemd knows services. */
const SYSTEMD = "name=systemd";

type ReadText = (path: string) => string;

/** Finds the hierarchies in the text of /proc/self/mountinfo, as root uses them. `controllers` reads `cgroup.controllers` of a version 2 mount. */
export function findHierarchies(
  mountinfo: string,
  controllers: ReadText = (mount) => readText(join(mount, "cgroup.controllers")),
  parentOf: (hierarchy: Hierarchy, options: string) => string | undefined = ({ mount }) => join(mount, PARENT),
): Hierarchies {
  const found: { -readonly [name in keyof Hierarchies]?: Hierarchies[name] } = {};
  const all: Hierarchy[] = [];
  for (const line of mountinfo.split("\n")) {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , root, mount] = left.split(" ");
    const [type, , options = ""] = right.split(" ");
    // A mount of a part of the hierarchy is a container's view: its root is not the machine's.
    if (mount === undefined || root !== "/" || (type !== "cgroup" && type !== "cgroup2")) continue;
    const version = type === "cgroup2" ? 2 : 1;
    const parent = parentOf({ mount, version }, options);
    const hierarchy: Hierarchy = parent === undefined ? { mount, version } : { mount, version, parent };
    // In version 2 what a group may give on is what it got itself.
    const names =
      version === 1
        ? options.split(",")
        : controllers(parent === undefined ? mount : dirname(parent))
            .trim()
            .split(" ");
    const mine = CONTROLLERS.filter((name) => names.includes(name));
    for (const name of mine) found[name] = hierarchy;
    if (version === 2 || mine.length > 0 || names.includes(SYSTEMD)) all.push(hierarchy);
  }
  return { ...found, all };
}

/**
 * The group below which an ordinary user may make groups in a hierarchy, by the text of /proc/self/cgroup: its own when somebody
 * delegated that, or the one above when the gateway has its own in it. Undefined: none was delegated.
 */
export function delegatedParent(
  { mount, version }: Hierarchy,
  options: string,
  ownGroups: string,
  isOurs: (group: string) => boolean,
): string | undefined {
  for (const line of ownGroups.split("\n")) {
    const [number, names = "", ...rest] = line.split(":");
    const path = rest.join(":");
    const same = version === 2 ? number === "0" : names !== "" && names.split(",").every((name) => options.split(",").includes(name));
    if (!same || path === "" || path === "/") continue;
    const own = join(mount, path);
    const group = basename(own) === GATEWAY ? dirname(own) : own;
    if (isOurs(group)) return join(group, PARENT);
  }
  return undefined;
}

/** The hierarchies of this machine as this process may use them. */
export function machineHierarchies(): Hierarchies {
  const mountinfo = readText("/proc/self/mountinfo");
  if (process.getuid?.() === 0) return findHierarchies(mountinfo);
  const own = readText("/proc/self/cgroup");
  return findHierarchies(mountinfo, undefined, (hierarchy, options) => delegatedParent(hierarchy, options, own, isWritable));
}

/** Leaves the delegated group for one below it, which version 2 asks for before it gives controllers to others. */
export function leaveDelegatedGroup({ all }: Hierarchies): void {
  for (const { version, parent } of all) {
    if (version === 1 || parent === undefined || process.getuid?.() === 0) continue;
    const group = join(dirname(parent), GATEWAY);
    try {
      mkdirSync(group, { recursive: true });
      writeFileSync(join(group, "cgroup.procs"), String(process.pid));
    } catch {
      // Then limits are refused by name when they are asked for.
    }
  }
}

/** A group is ours when we may make groups in it and move processes out of it. */
function isWritable(group: string): boolean {
  return canWrite(group) && canWrite(join(group, "cgroup.procs"));
}

/** Whether this process may write a file or directory; false when it is not there. */
export function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
