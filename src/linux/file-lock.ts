import { check, EAGAIN, retryInterrupted, syscall } from "./libc.ts";

/** Takes an exclusive flock(2) on an open file without waiting. False when another process holds it; it is released on close. */
export function tryLock(fd: number): boolean {
  const LOCK_EX = 2;
  const LOCK_NB = 4;
  const result = retryInterrupted(() => syscall("flock", fd, LOCK_EX | LOCK_NB));
  if (result === -EAGAIN) return false;
  check(result, "flock");
  return true;
}
