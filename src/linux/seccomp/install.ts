import { addressOf, check, syscall } from "../libc.ts";
import { encodeProgram, type Instruction } from "./assembler.ts";

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;
const remedy = "use a kernel with CONFIG_SECCOMP_FILTER, version 5.5 or newer; in a container, allow seccomp(2)";

/** Installs a filter on the calling thread and all its future children. Needs no_new_privs or CAP_SYS_ADMIN; cannot be undone. */
export function installFilter(program: readonly Instruction[]): void {
  install(program, 0);
}

/** The same for a filter that reports calls; returns the descriptor on which they arrive. */
export function installFilterWithListener(program: readonly Instruction[]): number {
  return install(program, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

function install(program: readonly Instruction[], flags: number): number {
  const code = encodeProgram(program);
  // struct sock_fprog { u16 len; struct sock_filter *filter; }, the pointer aligned to 8.
  const header = Buffer.alloc(16);
  header.writeUInt16LE(program.length, 0);
  header.writeBigUInt64LE(addressOf(code), 8);
  const result = check(syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, header), "seccomp", "install filter", remedy);
  // `code` is only known to the kernel by its address: use it after the call so that it cannot be collected before.
  code.fill(0);
  return result;
}
