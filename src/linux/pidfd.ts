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

/** struct pidfd_info as of Linux 6.13 (include/uapi/linux/pidfd.h); the ioctl's number holds its size. */
const PIDFD_INFO_BYTES = 64;
const PIDFD_GET_INFO = 0xc000_ff0b + PIDFD_INFO_BYTES * 0x1_0000;
const PIDFD_INFO_PID = 1;
const information = Buffer.alloc(PIDFD_INFO_BYTES);

/** Process and parent of what a pidfd names, as pids of the caller's namespace. */
export interface ProcessRelation {
  readonly process: number;
  readonly parent: number;
}

/** Asks the kernel directly; undefined when the process has ended, or before Linux 6.13. */
export function relationOf(pidfd: number): ProcessRelation | undefined {
  information.fill(0);
  information.writeBigUInt64LE(BigInt(PIDFD_INFO_PID), 0);
  if (syscall("ioctl", pidfd, PIDFD_GET_INFO, information) < 0) return undefined;
  return { process: information.readUInt32LE(20), parent: information.readUInt32LE(24) };
}
