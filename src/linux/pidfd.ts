import { readFileSync } from "node:fs";
import { OpenShellError } from "../error.ts";
import { check, ESRCH, syscall } from "./libc.ts";

/** O_EXCL: a descriptor of one thread instead of a whole process (Linux 6.9, include/uapi/linux/pidfd.h). */
export const PIDFD_THREAD = 0o200;

/** A descriptor that names a process, or with PIDFD_THREAD a thread; close-on-exec. */
export function pidfdOpen(pid: number, flags = 0): number {
  return check(syscall("pidfd_open", pid, flags), "pidfd_open", String(pid));
}

/** Takes a copy of another process's descriptor; needs the right to trace it. Close-on-exec. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return check(syscall("pidfd_getfd", pidfd, fd, 0), "pidfd_getfd", String(fd));
}

/** Sends a signal; false when the process has ended already. */
export function pidfdSendSignal(pidfd: number, signal: number): boolean {
  const result = syscall("pidfd_send_signal", pidfd, signal, 0, 0);
  if (result === -ESRCH) return false;
  check(result, "pidfd_send_signal");
  return true;
}

/** The pid, in this process's pid namespace, of the process behind a pidfd (from /proc/self/fdinfo). */
export function pidOfPidfd(pidfd: number): number {
  const pid = Number(/^Pid:\s+(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8"))?.[1]);
  if (!(pid > 0)) throw new OpenShellError("aborted", "the process behind the descriptor has ended or is not visible here");
  return pid;
}
