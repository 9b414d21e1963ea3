import { existsSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import {
  AT_FDCWD,
  changeMode,
  changeOwner,
  close,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openAt,
  openResolved,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  writeAll,
} from "../../../linux/descriptors.ts";
import { createFileAt, ensureDirectoryAt, linkAt } from "../../../linux/directory.ts";
import { KernelError } from "../../../linux/kernel-error.ts";
import { ENOENT, EROFS } from "../../../linux/libc.ts";
import {
  attach,
  cloneTree,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  newFileSystem,
  pivotInto,
  setMountAttributes,
  setTreeAttributes,
} from "../../../linux/mounts.ts";
import { applyOwnerMapping } from "../../../linux/owner-mapping.ts";
import { memoryFiles } from "./memory-files.ts";
import type { GuardStep } from "./tool-guards.ts";
import { synthesisedConfiguration } from "./view-accounts.ts";
import { deviceLinks, deviceNodes, hostConfiguration, maskedProcFiles } from "./view-layout.ts";
import type { ViewPlan, ViewStep } from "./view-plan.ts";
import { inspect } from "./view-probe.ts";

/** What the view is built from besides its plan. */
export interface ViewOptions {
  readonly plan: ViewPlan;
  /** An existing directory of the host on which the new root is stacked until it becomes the root. */
  readonly mountPoint: string;
  readonly uid: number;
  readonly gid: number;
  readonly hostName: string;
  /** Descriptors of owner mappings, by source of a writable mount. */
  readonly owners: Readonly<Record<string, number>>;
  /** Bytes of memory that all programs of the box have together; absent: as much as the machine has. */
  readonly memory?: number | undefined;
}

const NOSUID_NODEV = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
/** Skeleton of the root: directories and small files only. */
const ROOT_LIMIT = "16m";

/**
 * Builds the root view in the current mount namespace (which must be private, and in the box's pid namespace) and makes it the root.
 * Returns a descriptor of its devpts instance. What is not put in does not exist for anyone in here.
 */
export function buildView(options: ViewOptions): { devpts: number } {
  const mountPoint = openAt(AT_FDCWD, options.mountPoint, O_PATH | O_DIRECTORY);
  attachAndClose(newFileSystem("tmpfs", { size: ROOT_LIMIT, mode: "0755" }, NOSUID_NODEV), mountPoint, "root");
  close(mountPoint);
  const root = openAt(AT_FDCWD, options.mountPoint, O_PATH | O_DIRECTORY);
  try {
    const view = new View(root, options);
    view.skeleton();
    for (const step of options.plan.steps) view.add(step);
    view.proc();
    const devpts = view.devices();
    setMountAttributes(root, MOUNT_ATTR_RDONLY);
    pivotInto(root);
    return { devpts };
  } finally {
    close(root);
  }
}

class View {
  readonly #root: number;
  readonly #options: ViewOptions;

  constructor(root: number, options: ViewOptions) {
    this.#root = root;
    this.#options = options;
  }

  /** What every box has: an /etc of its own. */
  skeleton(): void {
    this.#configuration();
  }

  add(step: ViewStep): void {
    switch (step.kind) {
      case "scratch": {
        const { temporary, log } = memoryFiles(this.#options.memory);
        const options = step.target === "/tmp" ? { size: temporary, mode: "1777" } : { size: log, mode: "0755" };
        this.#mount(newFileSystem("tmpfs", options, NOSUID_NODEV), step.target);
        return;
      }
      case "symlink":
        linkAt(this.#root, step.target, step.to);
        return;
      case "directory": {
        const fd = ensureDirectoryAt(this.#root, step.target);
        if (step.agentOwned) this.#giveToAgent(step.target);
        close(fd);
        return;
      }
      case "guard":
        this.#guard(step);
        return;
      case "bind":
        this.#bind(step);
    }
  }

  /**
   * A /proc of the box's processes, without our init and without host-wide switches. Processes that the reader may not trace do not exist
   * in it: the threads of our init have numbers of their own, never listed but open to everyone who guesses them, and they are in the host's
   * network and mount namespaces (`/proc/2/net/tcp`, `/proc/2/mountinfo`).
   */
  proc(): void {
    this.#mount(newFileSystem("proc", { hidepid: "invisible" }, NOSUID_NODEV | MOUNT_ATTR_NOEXEC), "/proc");
    this.#mount(newFileSystem("tmpfs", { size: "0", mode: "0555" }, NOSUID_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY), "/proc/1");
    for (const name of maskedProcFiles) {
      if (existsSync(`/proc/${name}`)) this.#bindNode("/dev/null", `/proc/${name}`);
    }
  }

  devices(): number {
    this.#mount(newFileSystem("tmpfs", { size: ROOT_LIMIT, mode: "0755" }, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), "/dev");
    for (const name of deviceNodes) {
      close(createFileAt(this.#root, `/dev/${name}`));
      this.#bindNode(`/dev/${name}`, `/dev/${name}`);
    }
    for (const [name, to] of Object.entries(deviceLinks)) linkAt(this.#root, `/dev/${name}`, to);
    const { shared } = memoryFiles(this.#options.memory);
    this.#mount(newFileSystem("tmpfs", { size: shared, mode: "1777" }, NOSUID_NODEV | MOUNT_ATTR_NOEXEC), "/dev/shm");
    this.#mount(newFileSystem("devpts", { mode: "0600", ptmxmode: "0666" }, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), "/dev/pts");
    const devices = this.#open("/dev", O_PATH | O_DIRECTORY);
    // Where the agent is the user who builds this, the directory is its own. The nodes and what is mounted in it are mounts of their own.
    setMountAttributes(devices, MOUNT_ATTR_RDONLY);
    close(devices);
    return this.#open("/dev/pts", O_RDONLY | O_DIRECTORY);
  }

  #configuration(): void {
    close(ensureDirectoryAt(this.#root, "/etc"));
    const shell = existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh";
    const { uid, gid, hostName } = this.#options;
    const written = synthesisedConfiguration({ uid, gid, hostName, shell });
    for (const [name, content] of Object.entries(written)) {
      const fd = createFileAt(this.#root, `/etc/${name}`);
      writeAll(fd, Buffer.from(content));
      changeMode(fd, 0o644);
      close(fd);
    }
    linkAt(this.#root, "/etc/mtab", "/proc/self/mounts");
    for (const name of hostConfiguration) {
      const source = `/etc/${name}`;
      const host = inspect(source);
      if (host.link !== undefined) linkAt(this.#root, source, host.link);
      else if (host.real === source && (host.kind === "directory" || host.kind === "file")) {
        this.#bind({
          kind: "bind",
          source,
          target: source,
          readWrite: false,
          device: false,
          plainSource: true,
          directory: host.kind === "directory",
        });
      }
    }
  }

  #bind(step: Extract<ViewStep, { kind: "bind" }>): void {
    const source = this.#openSource(step);
    try {
      const tree = cloneTree(source, step.source);
      setTreeAttributes(tree, NOSUID_NODEV | (step.readWrite ? 0 : MOUNT_ATTR_RDONLY));
      const owners = step.readWrite ? this.#options.owners[step.source] : undefined;
      if (owners !== undefined) applyOwnerMapping(tree, owners);
      const target = this.#place(step);
      attachAndClose(tree, target, step.target);
      close(target);
    } finally {
      close(source);
    }
  }

  /** Mounts something of a mount over itself, with that mount's owners. Nothing is made: the directory is a person's. */
  #guard({ target, pinned }: GuardStep): void {
    let place: number;
    try {
      place = this.#open(target, O_PATH);
    } catch (cause) {
      throw new OpenShellError("failed_precondition", `${target} was changed while the sandbox was starting`, {
        cause,
        next: "start it again",
      });
    }
    try {
      const tree = cloneTree(place, target);
      if (!pinned) setTreeAttributes(tree, MOUNT_ATTR_RDONLY);
      attachAndClose(tree, place, target);
    } finally {
      close(place);
    }
  }

  /** Where to mount: made in the view's own skeleton, but never in a directory of the host that is shown read-only. */
  #place(step: Extract<ViewStep, { kind: "bind" }>): number {
    try {
      if (step.directory) return ensureDirectoryAt(this.#root, step.target);
      return this.#existing(step.target) ?? createFileAt(this.#root, step.target);
    } catch (cause) {
      if (!(cause instanceof KernelError) || cause.errno !== EROFS) throw cause;
      throw new OpenShellError(
        "failed_precondition",
        `${step.target} cannot be mounted: its directory is the host's, shown read-only, and has no such entry`,
        {
          cause,
          next: "choose a target outside it, or create the entry on the host",
        },
      );
    }
  }

  /** A file that is there already can be mounted on also where nothing can be made. */
  #existing(target: string): number | undefined {
    try {
      return this.#open(target, O_PATH);
    } catch (cause) {
      if (cause instanceof KernelError && cause.errno === ENOENT) return undefined;
      throw cause;
    }
  }

  #openSource(step: Extract<ViewStep, { kind: "bind" }>): number {
    if (!step.plainSource) return openAt(AT_FDCWD, step.source, O_PATH);
    try {
      return openResolved(AT_FDCWD, step.source, O_PATH, RESOLVE_NO_SYMLINKS);
    } catch (cause) {
      throw new OpenShellError("failed_precondition", `${step.source} cannot be opened without following a symbolic link`, {
        cause,
        next: "name the real path",
      });
    }
  }

  /** A single node of the host, with its mount made private to the view but still usable as a device. */
  #bindNode(source: string, target: string): void {
    const fd = openAt(AT_FDCWD, source, O_PATH);
    const tree = cloneTree(fd, source);
    close(fd);
    setTreeAttributes(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    const place = this.#open(target, O_PATH);
    attachAndClose(tree, place, target);
    close(place);
  }

  #mount(mount: number, target: string): void {
    const place = ensureDirectoryAt(this.#root, target);
    attachAndClose(mount, place, target);
    close(place);
  }

  #giveToAgent(path: string): void {
    const fd = this.#open(path, O_RDONLY | O_DIRECTORY);
    changeOwner(fd, this.#options.uid, this.#options.gid);
    close(fd);
  }

  /** Inside the view; a link in a writable directory leads nowhere. */
  #open(path: string, flags: number): number {
    return openResolved(this.#root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  }
}

function attachAndClose(mount: number, target: number, detail: string): void {
  try {
    attach(mount, target, detail);
  } finally {
    close(mount);
  }
}
