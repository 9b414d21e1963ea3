import { readFileSync, writeFileSync } from "node:fs";
import { check, cString, type StringVector, syscall } from "./libc.ts";

/** RLIMIT_* of both architectures (include/uapi/asm-generic/resource.h). */
export const RLIMIT_CORE = 4;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;

/**
 * Lowers soft and hard limit of the calling process to `value`, or leaves them at a hard limit that is lower already: to raise that needs
 * CAP_SYS_RESOURCE, which containers do not have.
 */
export function setLimit(resource: number, value: number): void {
  const [soft, hard] = [0, 1];
  const limit = new BigUint64Array(2);
  check(syscall("prlimit64", 0, resource, null, limit), "prlimit", String(resource));
  limit[soft] = limit[hard] = BigInt(Math.min(value, Number(limit[hard])));
  check(syscall("prlimit64", 0, resource, limit, null), "prlimit", String(resource));
}

/** Default handlers and an empty mask: a JavaScript runtime ignores SIGPIPE and SIGXFSZ, and execve would pass that on. */
export function resetSignals(): void {
  const SIG_SETMASK = 2;
  // struct sigaction of the kernel: handler SIG_DFL = 0, flags, restorer, mask; the set is 8 bytes.
  const action = new BigUint64Array(4);
  for (let signal = 1; signal <= 64; signal += 1) syscall("rt_sigaction", signal, action, null, 8);
  check(syscall("rt_sigprocmask", SIG_SETMASK, new BigUint64Array(1), null, 8), "rt_sigprocmask");
}

/** Own session and process group, without a controlling terminal. */
export function newSession(): void {
  check(syscall("setsid"), "setsid");
}

/** The name that ps and top show; a process started as /proc/self/exe would be called `exe`. At most 15 bytes count. */
export function nameProcess(name: string): void {
  const PR_SET_NAME = 15;
  syscall("prctl", PR_SET_NAME, cString(name), 0, 0, 0);
}

export function setFileModeMask(mask: number): void {
  syscall("umask", mask);
}

/** Replaces this process by a program. Returns only on failure, with the negated error number. */
export function execve(path: Buffer, argv: StringVector, environment: StringVector): number {
  return syscall("execve", path, argv.pointers, environment.pointers);
}

/** To one process, or with a negative pid to a process group. False when there is none. */
export function kill(pid: number, signal: number): boolean {
  return syscall("kill", pid, signal) >= 0;
}

/** Collects one ended child without waiting; false when it still runs or is not ours. */
export function reap(pid: number): boolean {
  const WNOHANG = 1;
  return syscall("wait4", pid, null, WNOHANG, null) === pid;
}

const OUT_OF_MEMORY_SCORE = "/proc/self/oom_score_adj";
/** Thousandths of all memory that count as used already. */
const AGENT_SCORE = 500;

/**
 * When memory runs out, of the machine or of a group, this process ends before those of us that confine it, however small it is: with the
 * supervisor everything in the box would end. Needs no privilege; a lower value than before would need CAP_SYS_RESOURCE.
 */
export function endFirstWithoutMemory(): void {
  if (Number(readFileSync(OUT_OF_MEMORY_SCORE, "latin1")) < AGENT_SCORE) writeFileSync(OUT_OF_MEMORY_SCORE, String(AGENT_SCORE));
}
