import { capabilities } from "./capabilities.ts";
import { AT_FDCWD, O_CLOEXEC } from "./descriptors.ts";
import type { LauncherImage } from "./launcher/image.ts";
import { namespaceFlags } from "./namespaces.ts";

const CLONE_NEWUSER = 0x10000000;
const O_WRONLY = 1;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
/** struct __user_cap_header_struct { u32 version = _LINUX_CAPABILITY_VERSION_3; int pid }. */
const CAPABILITY_HEADER = [0x20080522, 0] as const;

/** What an image prints when a step of entering a user namespace fails; a caller that started it can tell from this which one it was. */
export const userNamespaceFailures = {
  create: "create a user namespace",
  map: "map the own user in it",
  privileges: "keep privileges in it",
  use: "make other namespaces in it",
} as const;

/**
 * Adds the calls that move the program into a new user namespace in which the caller is who it was, by number, and the only one: there is
 * no user 0 in it, so nothing becomes root by a set-user-id bit or by being root. The privileges that a box takes to build survive the
 * exec that follows; they hold over what is made inside alone.
 */
export function enterOwnUserNamespace(image: LauncherImage, uid: number, gid: number): void {
  image.call("unshare", [CLONE_NEWUSER], { failure: userNamespaceFailures.create });
  // Without giving up setgroups(2) first, the kernel lets nobody but root map a group (user_namespaces(7)).
  write(image, "/proc/self/setgroups", "deny");
  write(image, "/proc/self/uid_map", `${uid} ${uid} 1\n`);
  write(image, "/proc/self/gid_map", `${gid} ${gid} 1\n`);
  keepPrivileges(image);
}

/** Adds the proof that the privileges are real: security modules let the user namespace exist and refuse everything else in it. */
export function useOwnUserNamespace(image: LauncherImage): void {
  const { mnt, uts, ipc, pid, net } = namespaceFlags;
  image.call("unshare", [mnt | uts | ipc | pid | net], { failure: userNamespaceFailures.use });
}

function write(image: LauncherImage, path: string, content: string): void {
  const bytes = Buffer.from(content);
  image.call("openat", [AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0], { failure: userNamespaceFailures.map, result: "next-argument" });
  image.call("write", [0, bytes, bytes.length], { failure: userNamespaceFailures.map });
}

/** A user other than 0 keeps capabilities over exec only as ambient ones (capabilities(7)). */
function keepPrivileges(image: LauncherImage): void {
  const mask = Object.values(capabilities).reduce<number>((sum, number) => sum + 2 ** number, 0);
  // Effective, permitted, inheritable; twice, for 32 capabilities each.
  const sets = new Uint32Array([mask, mask, mask, 0, 0, 0]);
  const failure = userNamespaceFailures.privileges;
  image.call("capset", [bytesOf(new Uint32Array(CAPABILITY_HEADER)), bytesOf(sets)], { failure });
  for (const number of Object.values(capabilities)) {
    image.call("prctl", [PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0], { failure });
  }
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer);
}
