import { AT_FDCWD, close, O_RDONLY, openAt } from "./descriptors.ts";
import { check, EINVAL, syscall } from "./libc.ts";

/** CLONE_NEW* flags (include/uapi/linux/sched.h). They act on the calling thread alone. */
export const namespaceFlags = {
  mnt: 0x00020000,
  uts: 0x04000000,
  ipc: 0x08000000,
  pid: 0x20000000,
  net: 0x40000000,
} as const;
export type NamespaceKind = keyof typeof namespaceFlags;

/** Gives the calling thread its own roots and working directory, without which a threaded process cannot change mount namespaces. */
const CLONE_FS = 0x00000200;

/** Moves the calling thread into new namespaces (for `pid`: its future children). */
export function unshare(...kinds: NamespaceKind[]): void {
  const flags = kinds.reduce((sum, kind) => sum | namespaceFlags[kind], 0);
  check(syscall("unshare", flags), "unshare", kinds.join(", "));
}

/** Each attempt fails only when the runtime starts a thread within some microseconds; two in a row were never seen. */
const MOUNT_NAMESPACE_ATTEMPTS = 32;

/**
 * Moves the calling thread into an existing mount namespace; its root and working directory become that one's root. The kernel refuses this
 * while another thread shares the caller's file system state, and every thread that the runtime starts shares it anew.
 */
export function enterMountNamespace(fd: number): void {
  for (let attempt = 1; ; attempt += 1) {
    check(syscall("unshare", CLONE_FS), "unshare", "file system state");
    const result = syscall("setns", fd, namespaceFlags.mnt);
    if (result !== -EINVAL || attempt === MOUNT_NAMESPACE_ATTEMPTS) {
      check(result, "setns", "mnt");
      return;
    }
  }
}

/** Moves the calling thread into an existing namespace of another kind. */
export function enterNamespace(fd: number, kind: Exclude<NamespaceKind, "mnt">): void {
  check(syscall("setns", fd, namespaceFlags[kind]), "setns", kind);
}

/** A descriptor of the calling thread's namespace; it keeps the namespace alive. */
export function openOwnNamespace(kind: NamespaceKind): number {
  return openAt(AT_FDCWD, `/proc/thread-self/ns/${kind}`, O_RDONLY);
}

/**
 * Runs `start` so that the processes it creates are in a new pid namespace, and comes back at once. Must stay synchronous: a thread
 * created in between would fail.
 */
export function withNewPidNamespace<T>(start: () => T): T {
  const own = openAt(AT_FDCWD, "/proc/thread-self/ns/pid", O_RDONLY);
  try {
    unshare("pid");
    try {
      return start();
    } finally {
      enterNamespace(own, "pid");
    }
  } finally {
    close(own);
  }
}

/** Host name of the current uts namespace. */
export function setHostName(name: string): void {
  const bytes = Buffer.from(name);
  check(syscall("sethostname", bytes, bytes.length), "sethostname", name);
}
