import { readFileSync } from "node:fs";
import { OpenShellError } from "../error.ts";
import { check, syscall } from "./libc.ts";

const PR_SET_DUMPABLE = 4;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
/** Capability sets are 64 bits wide; the kernel refuses numbers it does not know. */
const CAPABILITY_BITS = 64;

/** Takes every capability out of the bounding set, so that no program started later can gain one. Needs CAP_SETPCAP. */
export function dropBoundingSet(): void {
  for (let capability = 0; capability < CAPABILITY_BITS; capability += 1) {
    const result = syscall("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0);
    if (result < 0) {
      if (capability === 0) check(result, "prctl", "drop bounding set");
      return;
    }
  }
}

/** False in the user namespace of an ordinary user, who must not lose a group that takes rights away (user_namespaces(7)). */
export function groupsCanBeDropped(): boolean {
  try {
    return readFileSync("/proc/self/setgroups", "latin1").trim() !== "deny";
  } catch {
    return true;
  }
}

/** Becomes this user and group on the calling thread, with no other groups where they can be dropped, and proves that there is no way back. */
export function becomeUser(uid: number, gid: number): void {
  if (!(uid > 0 && gid > 0))
    throw new OpenShellError("invalid_argument", `uid ${uid} and gid ${gid} are not allowed: the agent is never root`);
  if (groupsCanBeDropped()) check(syscall("setgroups", 0, null), "setgroups");
  check(syscall("setresgid", gid, gid, gid), "setresgid", String(gid));
  check(syscall("setresuid", uid, uid, uid), "setresuid", String(uid));
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid || process.getgid?.() !== gid || process.getegid?.() !== gid) {
    throw new OpenShellError("internal", `the kernel did not change the process to uid ${uid}, gid ${gid}`);
  }
  if (syscall("setuid", 0) >= 0) throw new OpenShellError("internal", "root can be regained after giving it up");
}

/** Clears the effective, permitted, inheritable and ambient sets. */
export function dropCapabilities(): void {
  check(syscall("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "prctl", "clear ambient set");
  // struct __user_cap_header_struct { u32 version = _LINUX_CAPABILITY_VERSION_3; int pid }, and two struct __user_cap_data_struct.
  const header = new Uint32Array([0x20080522, 0]);
  check(syscall("capset", header, new Uint32Array(6)), "capset");
}

/** No set-user-id bit and no file capability has an effect any more. */
export function setNoNewPrivileges(): void {
  check(syscall("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "no_new_privs");
}

/** No core dump, and no access by other processes of the same user; holds until the next exec. */
export function disableDumping(): void {
  check(syscall("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl", "dumpable");
}
