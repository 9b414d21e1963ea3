import { close, O_CLOEXEC } from "./descriptors.ts";
import { check, cString, syscall } from "./libc.ts";

/** New mount interface (include/uapi/linux/mount.h, Linux 5.12): a mount is a descriptor with its attributes set before anyone sees it. */
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

export const MOUNT_ATTR_RDONLY = 0x01;
export const MOUNT_ATTR_NOSUID = 0x02;
export const MOUNT_ATTR_NODEV = 0x04;
export const MOUNT_ATTR_NOEXEC = 0x08;

/** A detached copy of the tree of mounts behind an open path (O_PATH), sub-mounts included. */
export function cloneTree(fd: number, detail: string): number {
  return check(syscall("open_tree", fd, cString(""), OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE), "open_tree", detail);
}

/** Sets attributes on a detached tree and everything mounted below it. */
export function setTreeAttributes(fd: number, attributes: number): void {
  // struct mount_attr { u64 attr_set, attr_clr, propagation, userns_fd }
  const set = new BigUint64Array([BigInt(attributes), 0n, 0n, 0n]);
  check(syscall("mount_setattr", fd, cString(""), AT_EMPTY_PATH | AT_RECURSIVE, set, set.byteLength), "mount_setattr");
}

/** Sets attributes on one attached mount, behind a descriptor of its root. */
export function setMountAttributes(fd: number, attributes: number): void {
  const set = new BigUint64Array([BigInt(attributes), 0n, 0n, 0n]);
  check(syscall("mount_setattr", fd, cString(""), AT_EMPTY_PATH, set, set.byteLength), "mount_setattr");
}

/** A new file system (tmpfs, proc, devpts), detached. Options without a value are flags. */
export function newFileSystem(type: string, options: Readonly<Record<string, string | true>>, attributes: number): number {
  const context = check(syscall("fsopen", cString(type), FSOPEN_CLOEXEC), "fsopen", type);
  try {
    for (const [key, value] of Object.entries(options)) {
      const result =
        value === true
          ? syscall("fsconfig", context, FSCONFIG_SET_FLAG, cString(key), null, 0)
          : syscall("fsconfig", context, FSCONFIG_SET_STRING, cString(key), cString(value), 0);
      check(result, "fsconfig", `${type} ${key}`);
    }
    check(syscall("fsconfig", context, FSCONFIG_CMD_CREATE, null, null, 0), "fsconfig", `create ${type}`);
    return check(syscall("fsmount", context, FSMOUNT_CLOEXEC, attributes), "fsmount", type);
  } finally {
    close(context);
  }
}

/** Attaches a detached mount on top of an open path. */
export function attach(mount: number, target: number, detail: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check(syscall("move_mount", mount, cString(""), target, cString(""), flags), "move_mount", detail);
}

/** Stops mounts from spreading between this mount namespace and the one it was copied from. */
export function makeMountsPrivate(): void {
  const MS_REC = 0x4000;
  const MS_PRIVATE = 1 << 18;
  check(syscall("mount", cString("none"), cString("/"), null, MS_REC | MS_PRIVATE, null), "mount", "make / private");
}

/** Makes the mount behind `root` the root of the current mount namespace and lets go of the old one with everything in it. */
export function pivotInto(root: number): void {
  const MNT_DETACH = 2;
  check(syscall("fchdir", root), "fchdir");
  // pivot_root(".", ".") stacks the old root on the new one, where umount2(".") removes it (pivot_root(2)).
  check(syscall("pivot_root", cString("."), cString(".")), "pivot_root");
  check(syscall("umount2", cString("."), MNT_DETACH), "umount2", "old root");
  check(syscall("chdir", cString("/")), "chdir", "/");
}
