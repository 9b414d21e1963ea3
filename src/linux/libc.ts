import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { OpenShellError } from "../error.ts";
import { KernelError } from "./kernel-error.ts";
import { architecture, type SyscallName, syscallNumber } from "./syscall-numbers.ts";

/** What a system call takes: a number, or a buffer whose address is passed. The caller keeps buffers alive until the call returns. */
export type Argument = number | NodeJS.TypedArray | null;

// i64_fast gives plain numbers; addresses in user space stay below 2^47, so nothing is lost.
const word = FFIType.i64_fast;

function open() {
  if (process.platform !== "linux" || architecture === undefined) {
    throw new OpenShellError(
      "failed_precondition",
      `OpenShell sandboxes run on Linux x86-64 and arm64, not on ${process.platform} ${process.arch}`,
      {
        next: "use a Linux machine for sandboxes; the command line works against a remote gateway",
      },
    );
  }
  const { symbols } = dlopen("libc.so.6", {
    syscall: { args: [word, word, word, word, word, word, word], returns: word },
    __errno_location: { args: [], returns: FFIType.ptr },
  } as const);
  const errno = symbols.__errno_location();
  if (errno === null) throw new OpenShellError("internal", "the C library has no errno");
  return { syscall: symbols.syscall, errno, arch: architecture };
}

// Per thread: a Worker has its own module instance, hence its own errno address.
let library: ReturnType<typeof open> | undefined;
const roots: { held: readonly Argument[] } = { held: [] };

function word64(argument: Argument): number {
  if (argument === null) return 0;
  if (typeof argument === "number") return argument;
  return argument.byteLength === 0 ? 0 : Number(ptr(argument));
}

/** One system call. Returns its result, or the negated error number. */
export function syscall(
  name: SyscallName,
  a: Argument = 0,
  b: Argument = 0,
  c: Argument = 0,
  d: Argument = 0,
  e: Argument = 0,
  f: Argument = 0,
): number {
  library ??= open();
  const number = syscallNumber(name, library.arch);
  // ptr() does not root its buffer; this does, until the next call.
  roots.held = [a, b, c, d, e, f];
  const result = Number(library.syscall(number, word64(a), word64(b), word64(c), word64(d), word64(e), word64(f)));
  // errno must be read in the next expression: any other call may overwrite it.
  return result === -1 ? -read.i32(library.errno, 0) : result;
}

/** Throws a KernelError when `result` is a negated error number; returns it otherwise. */
export function check(result: number, call: string, detail = "", next?: string): number {
  if (result < 0) throw new KernelError(call, -result, detail, next);
  return result;
}

/** Repeats a call that a signal interrupted. */
export function retryInterrupted(call: () => number): number {
  for (;;) {
    const result = call();
    if (result !== -EINTR) return result;
  }
}

/** A NUL-terminated string for the kernel. A NUL inside would cut it short and mean another path, so it is refused. */
export function cString(text: string): Buffer {
  if (text.includes("\0")) throw new OpenShellError("invalid_argument", `${JSON.stringify(text)} contains a NUL byte`);
  return Buffer.from(`${text}\0`);
}

/** A NULL-terminated array of strings, as execve takes it. Keep the whole object alive during the call. */
export interface StringVector {
  readonly pointers: BigUint64Array;
  readonly strings: readonly Buffer[];
}

/** Builds argv or envp. */
export function stringVector(list: readonly string[]): StringVector {
  const strings = list.map(cString);
  const pointers = new BigUint64Array(list.length + 1);
  for (const [index, bytes] of strings.entries()) pointers[index] = BigInt(ptr(bytes));
  return { pointers, strings };
}

/** Address of a buffer, for structures that point to another buffer. Keep that buffer alive. */
export function addressOf(buffer: NodeJS.TypedArray): bigint {
  return BigInt(ptr(buffer));
}

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const EEXIST = 17;
export const EINVAL = 22;
export const EROFS = 30;
export const ENOSYS = 38;
export const ELOOP = 40;
