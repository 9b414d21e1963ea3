/**
 * The smallest x86-64 program that makes a system call of the 32-bit ABI: getpid by int 0x80, whose number 20 means writev to a filter that
 * does not look at the ABI. Exit code 7 when the call came back.
 */
const code = [
  ...[0xb8, 20, 0, 0, 0], // mov eax, 20 (getpid, i386)
  ...[0xcd, 0x80], // int 0x80
  ...[0xb8, 60, 0, 0, 0], // mov eax, 60 (exit, x86-64)
  ...[0xbf, 7, 0, 0, 0], // mov edi, 7
  ...[0x0f, 0x05], // syscall
];

const BASE = 0x400000;
const HEADERS = 64 + 56;

function build(): Buffer {
  const file = Buffer.alloc(HEADERS + code.length);
  // Elf64_Ehdr: magic, 64-bit, little-endian, version 1; ET_EXEC, EM_X86_64, entry behind the headers, one program header.
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(BASE + HEADERS), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  // Elf64_Phdr: PT_LOAD, read and execute, the whole file at BASE.
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(5, 68);
  file.writeBigUInt64LE(BigInt(BASE), 80);
  file.writeBigUInt64LE(BigInt(BASE), 88);
  file.writeBigUInt64LE(BigInt(file.length), 96);
  file.writeBigUInt64LE(BigInt(file.length), 104);
  file.writeBigUInt64LE(0x1000n, 112);
  Buffer.from(code).copy(file, HEADERS);
  return file;
}

export const otherAbiProgram = build();
