import { readlinkSync, statSync } from "node:fs";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, O_RDONLY, openAt, openResolved, RESOLVE_IN_ROOT } from "../../../linux/descriptors.ts";
import { createFileAt } from "../../../linux/directory.ts";
import {
  attach,
  cloneTree,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  newFileSystem,
  setTreeAttributes,
} from "../../../linux/mounts.ts";
import { enterMountNamespace, openOwnNamespace, unshare } from "../../../linux/namespaces.ts";

/** Where a launch that runs our own executable finds it: in the view the directory of pid 1 is empty, so nothing else can be there. */
const OWN_DIRECTORY = "/proc/1";
export const OWN_PROGRAM_PATH = `${OWN_DIRECTORY}/openshell`;

/** What one program sees and the others do not. */
export interface SessionNeeds {
  /** A terminal in a devpts of its own: other programs of the same user have no name for it. */
  readonly terminal: boolean;
  /** Our own executable, by `ownImage`. */
  readonly ownProgram?: number;
}

export interface SessionView extends Disposable {
  readonly namespace: number;
  /** Root of the devpts of this session. */
  readonly devpts?: number;
}

/** A descriptor of our own executable in the current mount namespace; undefined when another file has taken its path. */
export function openOwnImage(): number | undefined {
  try {
    const fd = openAt(AT_FDCWD, readlinkSync("/proc/self/exe"), O_PATH);
    const [running, found] = [statSync("/proc/self/exe"), statSync(`/proc/self/fd/${fd}`)];
    if (running.dev === found.dev && running.ino === found.ino) return fd;
    close(fd);
  } catch {
    // Deleted, or on a file system that was hidden since.
  }
  return undefined;
}

/** A copy of the view for one program. The caller's mount namespace is the same before and after. */
export function makeSessionView(view: number, needs: SessionNeeds): SessionView {
  const outer = openOwnNamespace("mnt");
  // Our own entry in the view's /proc is covered, so the new namespace is found by this one's.
  const proc = openAt(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY);
  const program = needs.ownProgram === undefined ? undefined : cloneTree(needs.ownProgram, "own program");
  const opened: number[] = [];
  const opening = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  try {
    enterMountNamespace(view);
    unshare("mnt");
    const root = openAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    try {
      if (needs.terminal) mountDevpts(root);
      if (program !== undefined) mountOwnProgram(root, program);
      const namespace = opening(openAt(proc, "thread-self/ns/mnt", O_RDONLY));
      const devpts = needs.terminal ? opening(openResolved(root, "/dev/pts", O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT)) : undefined;
      return {
        namespace,
        ...(devpts === undefined ? {} : { devpts }),
        [Symbol.dispose]: () => {
          for (const fd of opened) close(fd);
        },
      };
    } finally {
      close(root);
    }
  } catch (reason) {
    for (const fd of opened) close(fd);
    throw reason;
  } finally {
    enterMountNamespace(outer);
    close(outer);
    close(proc);
    if (program !== undefined) close(program);
  }
}

function mountDevpts(root: number): void {
  mountAt(root, "/dev/pts", newFileSystem("devpts", { mode: "0600", ptmxmode: "0666" }, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
}

function mountOwnProgram(root: number, program: number): void {
  mountAt(root, OWN_DIRECTORY, newFileSystem("tmpfs", { size: "4k", mode: "0555" }, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  const place = createFileAt(root, OWN_PROGRAM_PATH);
  try {
    setTreeAttributes(program, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    attach(program, place, OWN_PROGRAM_PATH);
  } finally {
    close(place);
  }
}

function mountAt(root: number, path: string, mount: number): void {
  const place = openResolved(root, path, O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
  try {
    attach(mount, place, path);
  } finally {
    close(place);
    close(mount);
  }
}
