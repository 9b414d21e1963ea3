import { AT_FDCWD, close, O_RDONLY, openAt } from "./descriptors.ts";
import { check, syscall } from "./libc.ts";

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

/** Prepares the calling thread for `enterNamespace(fd, "mnt")`. */
export function unshareFileSystemState(): void {
  check(syscall("unshare", CLONE_FS), "unshare", "file system state");
}

/** Moves the calling thread into an existing namespace. */
export function enterNamespace(fd: number, kind: NamespaceKind): void {
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
