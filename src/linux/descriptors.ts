import { check, cString, retryInterrupted, syscall } from "./libc.ts";

/** include/uapi/asm-generic/fcntl.h; O_DIRECTORY and O_NOFOLLOW differ on arm64. */
const arm = process.arch === "arm64";
export const O_RDONLY = 0;
export const O_RDWR = 0o2;
export const O_NOCTTY = 0o400;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;
export const O_DIRECTORY = arm ? 0o40000 : 0o200000;
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000;
export const AT_FDCWD = -100;

/** RESOLVE_* of openat2(2). */
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_IN_ROOT = 0x10;

/** open(2) below `directory` (AT_FDCWD: an absolute path). Always close-on-exec. */
export function openAt(directory: number, path: string, flags: number): number {
  return check(syscall("openat", directory, cString(path), flags | O_CLOEXEC, 0), "open", path);
}

/** openat2(2) with RESOLVE_* flags; the error is ELOOP when a forbidden symbolic link is met. */
export function openResolved(directory: number, path: string, flags: number, resolve: number): number {
  // struct open_how { u64 flags, mode, resolve }
  const how = new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, BigInt(resolve)]);
  return check(syscall("openat2", directory, cString(path), how, how.byteLength), "open", path);
}

export function close(fd: number): void {
  syscall("close", fd);
}

/** A second descriptor of the same open file, close-on-exec; each is closed by its owner. */
export function duplicate(fd: number): number {
  const F_DUPFD_CLOEXEC = 1030;
  return check(syscall("fcntl", fd, F_DUPFD_CLOEXEC, 0), "fcntl", "duplicate");
}

/** Makes `number` mean what `fd` does, kept over exec, and closes `fd`; they must differ. */
export function replaceDescriptor(number: number, fd: number): void {
  check(syscall("dup3", fd, number, 0), "dup3");
  close(fd);
}

/** Closes every descriptor of a list, ignoring those that are gone. */
export function closeAll(fds: Iterable<number>): void {
  for (const fd of fds) close(fd);
}

/** Reads at most `buffer.length` bytes; 0 at the end. */
export function readInto(fd: number, buffer: Uint8Array): number {
  return check(
    retryInterrupted(() => syscall("read", fd, buffer, buffer.length)),
    "read",
  );
}

/** Writes all of `bytes` to a blocking descriptor. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const chunk = rest;
    const written = check(
      retryInterrupted(() => syscall("write", fd, chunk, chunk.length)),
      "write",
    );
    rest = rest.subarray(written);
  }
}

/** A pipe, both ends close-on-exec and blocking. */
export function pipe(): { read: number; write: number } {
  const pair = new Int32Array(2);
  check(syscall("pipe2", pair, O_CLOEXEC), "pipe2");
  return { read: pair[0] as number, write: pair[1] as number };
}

/** A connected pair of Unix stream sockets, close-on-exec and blocking. */
export function socketPair(): [number, number] {
  const pair = new Int32Array(2);
  const AF_UNIX = 1;
  const SOCK_STREAM = 1;
  check(syscall("socketpair", AF_UNIX, SOCK_STREAM | O_CLOEXEC, 0, pair), "socketpair");
  return [pair[0] as number, pair[1] as number];
}

/** Gives an open file to a user; works on pipes and terminals as well. */
export function changeOwner(fd: number, uid: number, gid: number): void {
  check(syscall("fchown", fd, uid, gid), "fchown");
}

export function changeMode(fd: number, mode: number): void {
  check(syscall("fchmod", fd, mode), "fchmod");
}

/** Marks every descriptor from `first` on as close-on-exec. */
export function closeOnExecFrom(first: number): void {
  const CLOSE_RANGE_CLOEXEC = 4;
  check(syscall("close_range", first, 0xffffffff, CLOSE_RANGE_CLOEXEC), "close_range");
}

/** Makes reads and writes return EAGAIN instead of waiting. */
export function setNonBlocking(fd: number): void {
  const FIONBIO = 0x5421;
  check(syscall("ioctl", fd, FIONBIO, new Int32Array([1])), "ioctl", "non-blocking");
}
