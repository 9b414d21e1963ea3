import { close, writeAll } from "../descriptors.ts";
import { check, cString, EINVAL, stringVector, syscall } from "../libc.ts";
import { execve, resetSignals } from "../process-state.ts";

/** Programs that exist in memory only. */

const MFD_CLOEXEC = 1;
/** Asks for an executable file where the kernel distinguishes (Linux 6.3); older kernels do not know the flag. */
const MFD_EXEC = 0x10;

/** An executable in memory, alive as long as it is not disposed of. */
export interface MemoryExecutable extends Disposable {
  /** By the number of this process, because a child may have another descriptor in its place. */
  readonly path: string;
}

export function memoryExecutable(name: string, image: Uint8Array): MemoryExecutable {
  const label = cString(name);
  let fd = syscall("memfd_create", label, MFD_CLOEXEC | MFD_EXEC);
  if (fd === -EINVAL) fd = syscall("memfd_create", label, MFD_CLOEXEC);
  check(fd, "memfd_create", name, "set the sysctl vm.memfd_noexec to 0 or 1");
  writeAll(fd, image);
  return { path: `/proc/${process.pid}/fd/${fd}`, [Symbol.dispose]: () => close(fd) };
}

/** Puts a program in memory in the place of this process: same pid, same standard streams. Returns only by throwing. */
export function becomeExecutable(executable: MemoryExecutable): never {
  resetSignals();
  const result = execve(cString(executable.path), stringVector([executable.path]), stringVector([]));
  check(result, "execve", "launcher", "see whether a security module forbids programs in memory");
  throw new Error("execve has returned");
}
