/** System calls that attacks use and the product does not (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h). */
const numbers: Readonly<Record<string, { readonly x64: number; readonly arm64: number }>> = {
  mmap: { x64: 9, arm64: 222 },
  munmap: { x64: 11, arm64: 215 },
  mknodat: { x64: 259, arm64: 33 },
  recvmsg: { x64: 47, arm64: 212 },
  setsockopt: { x64: 54, arm64: 208 },
  /** getpid of the x32 ABI; elsewhere a number that no kernel has. */
  getpid_x32: { x64: 0x40000000 | 39, arm64: 0x40000000 },
};

export function extraNumbers(architecture: "x64" | "arm64"): string[] {
  return Object.entries(numbers).map(([name, byArchitecture]) => `${name}=${byArchitecture[architecture]}`);
}
