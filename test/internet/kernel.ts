/** The few kernel calls of the test internet's host, on the product's own kernel layer. */
import { readFileSync } from "node:fs";
import { check, cString, syscall } from "../../src/linux/libc.ts";

/** include/uapi/linux/mount.h */
const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_PRIVATE = 0x4_0000;
const WNOHANG = 1;

/** Mounts from here on stay in this mount namespace. */
export function makeMountsPrivate(): void {
  check(syscall("mount", cString("none"), cString("/"), null, MS_REC | MS_PRIVATE, null), "mount --make-rprivate /");
}

/** A /proc of the pid namespace that the caller is in. */
export function mountProc(): void {
  check(syscall("mount", cString("proc"), cString("/proc"), cString("proc"), 0, null), "mount /proc");
}

/** `source` appears at `target`. */
export function bindMount(source: string, target: string): void {
  check(syscall("mount", cString(source), cString(target), null, MS_BIND, null), `mount --bind ${source}`, target);
}

/** Waits for the dead children that nobody of ours started: PID 1 inherits them. */
export function reapOrphans(own: ReadonlySet<number>): void {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").map(Number);
  const status = new Int32Array(1);
  for (const pid of children) if (pid > 0 && !own.has(pid)) syscall("wait4", pid, status, WNOHANG, null);
}
