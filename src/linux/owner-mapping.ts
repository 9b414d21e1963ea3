import { closeSync, openSync, writeFileSync } from "node:fs";
import { memoryExecutable } from "./launcher/executable.ts";
import { LauncherImage } from "./launcher/image.ts";
import { check, cString, syscall } from "./libc.ts";
import { architecture } from "./syscall-numbers.ts";

const CLONE_NEWUSER = 0x10000000;
const AT_EMPTY_PATH = 0x1000;
const MOUNT_ATTR_IDMAP = 0x0010_0000;

/** In a mount, the user and group `from` of the file system appear as the user and group `to`; everybody else is nobody. */
export interface OwnerMapping {
  readonly from: { readonly uid: number; readonly gid: number };
  readonly to: { readonly uid: number; readonly gid: number };
}

/**
 * Maps owners on one detached mount (mount_setattr(2), Linux 5.12; the file system must support it). Needs CAP_SYS_ADMIN over the file
 * system, so root's. Throws a KernelError where it cannot be done.
 */
export async function mapOwners(mount: number, mapping: OwnerMapping): Promise<void> {
  const namespace = await openOwnerMapping(mapping);
  try {
    applyOwnerMapping(mount, namespace);
  } finally {
    closeSync(namespace);
  }
}

/** Maps owners on a detached mount as a descriptor of `openOwnerMapping` says. */
export function applyOwnerMapping(mount: number, namespace: number): void {
  // struct mount_attr { u64 attr_set, attr_clr, propagation, userns_fd }
  const attributes = new BigUint64Array([BigInt(MOUNT_ATTR_IDMAP), 0n, 0n, BigInt(namespace)]);
  const result = syscall("mount_setattr", mount, cString(""), AT_EMPTY_PATH, attributes, attributes.byteLength);
  check(result, "mount_setattr", "map owners", "use a file system that supports idmapped mounts (ext4, xfs, btrfs; tmpfs since Linux 6.3)");
}

/**
 * A user namespace is the kernel's way to write a mapping down: a process makes one and waits while it is filled in and taken. The caller
 * closes the descriptor.
 */
export async function openOwnerMapping({ from, to }: OwnerMapping): Promise<number> {
  const byte = Buffer.alloc(1);
  const image = new LauncherImage(architecture ?? "x64")
    .call("unshare", [CLONE_NEWUSER], { failure: "user namespace" })
    .call("write", [1, byte, 1], { failure: "report" })
    .call("read", [0, byte, 1])
    .call("exit_group", [0])
    .build();
  using launcher = memoryExecutable("openshell-owners", image);
  const holder = Bun.spawn([launcher.path], { cwd: "/", env: {}, stdio: ["pipe", "pipe", "ignore"] });
  try {
    await holder.stdout.getReader().read();
    writeFileSync(`/proc/${holder.pid}/uid_map`, `${from.uid} ${to.uid} 1\n`);
    writeFileSync(`/proc/${holder.pid}/gid_map`, `${from.gid} ${to.gid} 1\n`);
    return openSync(`/proc/${holder.pid}/ns/user`, "r");
  } finally {
    holder.stdin.end();
    await holder.exited;
  }
}
