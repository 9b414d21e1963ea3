import { OpenShellError } from "../../../error.ts";
import type { LandlockRule } from "../../../linux/landlock.ts";
import { HOST_PROGRAMS, isUnderAny } from "../../../policy/host-view.ts";
import type { BoxSpec } from "./contract.ts";
import { type GuardStep, guardTools } from "./tool-guards.ts";
import {
  deviceRules,
  isOwnPath,
  scratchDirectories,
  shownBundles,
  systemPaths,
  TLS_PATH,
  TRUST_BUNDLE,
  WELL_KNOWN_PATHS,
  WORKSPACE_PATH,
} from "./view-layout.ts";
import { type HostPath, inspect, isBelow } from "./view-probe.ts";

/** One thing to put into the new root. Targets are absolute paths inside it. */
export type ViewStep =
  | {
      readonly kind: "bind";
      readonly source: string;
      readonly target: string;
      readonly readWrite: boolean;
      /** A device node keeps working as one. */
      readonly device: boolean;
      /** No component of the source may be a symbolic link: somebody the agent can influence could have placed it. */
      readonly plainSource: boolean;
      readonly directory: boolean;
    }
  | { readonly kind: "symlink"; readonly target: string; readonly to: string }
  /** An empty file system in memory. */
  | { readonly kind: "scratch"; readonly target: string }
  /** A directory of the view's own, given to the agent when it may write there. */
  | { readonly kind: "directory"; readonly target: string; readonly agentOwned: boolean }
  | GuardStep;

/** The root file system of a box, as data: what is in it, what the agent may do with it, and which policy paths do not exist. */
export interface ViewPlan {
  /** In order: a directory comes before what is mounted below it. */
  readonly steps: readonly ViewStep[];
  readonly landlock: readonly LandlockRule[];
  /** Policy paths that this host does not have. */
  readonly missing: readonly string[];
  /** Writable directories of the host in which a person's tools may find configuration (threat 15). */
  readonly guarded: readonly GuardedDirectory[];
}

export interface GuardedDirectory {
  readonly target: string;
  /** Relative names that the program can read only. */
  readonly readOnly: readonly string[];
  /** Relative names that are not there, or are links: the program can make or replace them. */
  readonly open: readonly string[];
}

/** Works out the root view of decision 8 from the policy's paths and what exists on this host. Throws when the view would be unsafe. */
export function planView(spec: BoxSpec): ViewPlan {
  return new Planner(spec).plan();
}

class Planner {
  readonly #spec: BoxSpec;
  readonly #steps = new Map<string, ViewStep>();
  readonly #rules: LandlockRule[] = [];
  readonly #missing: string[] = [];
  readonly #guarded: GuardedDirectory[] = [];
  /** Host directories the agent may change: nothing below them is followed through a symbolic link. */
  readonly #writable: string[];

  constructor(spec: BoxSpec) {
    this.#spec = spec;
    this.#writable = [...spec.filesystem.readWrite, ...spec.mounts.filter((mount) => mount.readWrite).map((mount) => mount.source)];
  }

  plan(): ViewPlan {
    const { readOnly, readWrite, includeWorkdir } = this.#spec.filesystem;
    for (const target of scratchDirectories) this.#put({ kind: "scratch", target });
    this.#workspace();
    for (const path of readWrite) this.#policyPath(path, true);
    const writable = new Set(readWrite);
    for (const path of readOnly) if (!writable.has(path)) this.#policyPath(path, false);
    if (includeWorkdir) this.#grant(WORKSPACE_PATH, "write", true);
    for (const mount of this.#spec.mounts) this.#mount(mount, mount.readWrite || this.#spec.refuseLinks === true);
    const { tlsDirectory } = this.#spec;
    if (tlsDirectory !== undefined) this.#trust(tlsDirectory);
    const scratch = readWrite.some((path) => path === "/tmp" || path === "/dev" || path === "/dev/shm");
    this.#rules.push(...deviceRules(scratch));
    this.#guardTools();
    const steps = this.#ordered();
    return { steps, landlock: this.#rules, missing: this.#missing, guarded: this.#guarded };
  }

  #workspace(): void {
    const host = inspect(this.#spec.workspace);
    if (host.kind !== "directory") {
      throw new OpenShellError("not_found", `workspace ${this.#spec.workspace} is not a directory`, {
        next: `create it, or name another directory`,
      });
    }
    this.#bind(host, WORKSPACE_PATH, true, false);
  }

  #policyPath(path: string, readWrite: boolean): void {
    if (path === "/") {
      throw new OpenShellError("invalid_argument", "the policy names / as a path: the whole host would be visible to the agent", {
        next: "name the directories that the agent needs",
      });
    }
    if (isOwnPath(path)) {
      this.#ownPath(path, readWrite);
      return;
    }
    // Whoever lists /usr means a system that can run programs: what its loader and links need comes with it.
    const paths = path === "/usr" && !readWrite ? systemPaths() : [path];
    for (const each of paths) this.#hostPath(each, readWrite, each === path && !WELL_KNOWN_PATHS.has(each));
  }

  /** `/etc`, `/tmp`, `/dev`, `/proc`, `/run`, `/var/log`, `/sandbox`: always the view's own, never the host's. */
  #ownPath(path: string, readWrite: boolean): void {
    // A writable /proc would let one program change another of the same user.
    const write = readWrite && path !== "/proc" && !isBelow(path, "/proc");
    if (scratchDirectories.some((own) => isBelow(path, own)) || (write && path !== "/tmp" && scratchDirectories.includes(path))) {
      this.#put({ kind: "directory", target: path, agentOwned: write });
    }
    this.#grant(path, write ? "write" : "read", false);
  }

  #hostPath(path: string, readWrite: boolean, required: boolean): void {
    const host = inspect(path);
    if (host.kind === "missing" || host.kind === "other") {
      if (required) this.#missing.push(path);
      return;
    }
    if (readWrite && (host.link !== undefined || host.real !== path)) {
      throw new OpenShellError("failed_precondition", `read_write path ${path} is or goes through a symbolic link to ${host.real}`, {
        next: `name ${host.real} instead`,
      });
    }
    if (host.real === path) {
      this.#bind(host, path, readWrite, this.#isInfluenced(path));
      this.#grant(path, readWrite ? "write" : "read", required);
      return;
    }
    const elsewhere = this.#spec.refuseLinks === true && !isUnderAny(path, HOST_PROGRAMS);
    if (elsewhere || this.#isInfluenced(path)) {
      const where = elsewhere ? "" : " below a writable path";
      throw new OpenShellError("failed_precondition", `read_only path ${path} is or goes through a symbolic link${where}`, {
        next: `name ${host.real} instead`,
      });
    }
    this.#put({ kind: "symlink", target: path, to: host.link ?? host.real });
    if (isOwnPath(host.real)) return;
    this.#bind(host, host.real, false, false);
    this.#grant(host.real, "read", required);
  }

  #mount(mount: BoxSpec["mounts"][number], refuseLinks: boolean): void {
    const host = inspect(mount.source);
    if (host.kind === "missing" || host.kind === "other") {
      throw new OpenShellError("not_found", `mount source ${mount.source} does not exist`, { next: "create it, or leave the mount out" });
    }
    if (refuseLinks && host.real !== mount.source) {
      throw new OpenShellError("failed_precondition", `mount source ${mount.source} is or goes through a symbolic link`, {
        next: `name ${host.real} instead`,
      });
    }
    if (mount.target === "/" || ["/proc", "/dev"].some((own) => mount.target === own || isBelow(mount.target, own))) {
      throw new OpenShellError("invalid_argument", `a mount cannot replace ${mount.target} of the box`, { next: "choose another target" });
    }
    this.#bind(host, mount.target, mount.readWrite, mount.readWrite);
    this.#grant(mount.target, mount.readWrite ? "write" : "read", true);
  }

  /** Programs that no variable tells whom to trust read the system's bundle: they find the sandbox's in its place. */
  #trust(directory: string): void {
    this.#mount({ source: directory, target: TLS_PATH, readWrite: false }, false);
    const bundle = inspect(`${directory}/${TRUST_BUNDLE}`);
    if (bundle.kind !== "file") return;
    for (const target of shownBundles()) {
      const named = this.#spec.mounts.some((mount) => mount.target === target || isBelow(target, mount.target));
      if (!named) this.#bind(bundle, target, false, false);
    }
  }

  /** Last, when all mounts are known: where somebody named a mount of its own, that one says what may be written. */
  #guardTools(): void {
    const binds = [...this.#steps.values()].filter((step) => step.kind === "bind");
    for (const { source, target, readWrite, directory } of binds) {
      if (!readWrite || !directory || source === this.#spec.workspace) continue;
      const { steps, open } = guardTools(source, target);
      const named = (path: string) =>
        binds.some((bind) => isBelow(bind.target, target) && (path === bind.target || isBelow(path, bind.target)));
      const added = steps.filter((step) => !named(step.target));
      for (const step of added) this.#put(step);
      const readOnly = added.filter((step) => !step.pinned).map((step) => step.target.slice(target.length + 1));
      this.#guarded.push({ target, readOnly, open: open.filter((name) => !named(`${target}/${name}`)) });
    }
  }

  #bind(host: HostPath, target: string, readWrite: boolean, plainSource: boolean): void {
    // A link and its target may both be listed, and read_write was planned first.
    if (this.#covered(target, readWrite)) return;
    this.#put({ kind: "bind", source: host.real, target, readWrite, device: false, plainSource, directory: host.kind === "directory" });
  }

  /** Parents first, and no bind of what the bind right above it already shows in the same way. */
  #ordered(): ViewStep[] {
    const steps = [...this.#steps.values()].sort((one, other) => depth(one.target) - depth(other.target));
    const shows = (step: ViewStep) => step.kind === "bind" && !step.readWrite && step.source === step.target;
    return steps.filter((step, index) => {
      const above = steps.slice(0, index).findLast((other) => other.kind !== "symlink" && isBelow(step.target, other.target));
      return !(shows(step) && above !== undefined && shows(above));
    });
  }

  #covered(target: string, readWrite: boolean): boolean {
    const same = this.#steps.get(target);
    return same?.kind === "bind" && same.readWrite && !readWrite;
  }

  #put(step: ViewStep): void {
    this.#steps.set(stepKey(step), step);
  }

  #grant(path: string, access: LandlockRule["access"], required: boolean): void {
    this.#rules.push({ path, access, required: required && this.#spec.landlock === "hard_requirement" });
  }

  #isInfluenced(path: string): boolean {
    return this.#writable.some((writable) => isBelow(path, writable));
  }
}

/** Keyed by target; scratch directories may carry an owner as well, so those have a key of their own. */
function stepKey(step: ViewStep): string {
  return step.kind === "directory" ? `${step.target}/.` : step.target;
}

function depth(path: string): number {
  return path.split("/").length;
}
