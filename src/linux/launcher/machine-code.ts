import type { Architecture } from "../syscall-numbers.ts";

/** Where the records are in memory; the code begins there. A multiple of 64 KiB, the largest page size of arm64. */
export const RECORDS_ADDRESS = 0x80_0000;

/** One system call as the code reads it: twelve words of eight bytes. */
export const record = {
  number: 0,
  arguments: 8,
  /** Address to which a result is written; 0: nowhere. */
  store: 56,
  /** Address of the record to go on with when the result is positive; 0: the next one. */
  jump: 64,
  /** Not 0: go on after an error as well. */
  mayFail: 72,
  /** Address and length of what to print before exiting with the error number. */
  message: 80,
  messageLength: 88,
  size: 96,
} as const;

/**
 * Walks the records: makes the call, stores the result, follows the jump or takes the next record. On an error it prints the record's
 * message to standard error and exits with the error number. Assembled with llvm-mc 14; the arm64 half has been assembled but not run.
 */
const listings: Readonly<Record<Architecture, string>> = {
  x64: `
    bb 00 00 80 00   mov ebx, RECORDS_ADDRESS
    48 8b 03         run: mov rax, [rbx]
    48 8b 7b 08      mov rdi, [rbx + 8]
    48 8b 73 10      mov rsi, [rbx + 16]
    48 8b 53 18      mov rdx, [rbx + 24]
    4c 8b 53 20      mov r10, [rbx + 32]
    4c 8b 43 28      mov r8, [rbx + 40]
    4c 8b 4b 30      mov r9, [rbx + 48]
    0f 05            syscall
    48 85 c0         test rax, rax
    78 25            js fail
    48 8b 4b 38      mov rcx, [rbx + 56]
    48 85 c9         test rcx, rcx
    74 03            je jump
    48 89 01         mov [rcx], rax
    48 8b 4b 40      jump: mov rcx, [rbx + 64]
    48 85 c0         test rax, rax
    74 0a            je next
    48 85 c9         test rcx, rcx
    74 05            je next
    48 89 cb         mov rbx, rcx
    eb bf            jmp run
    48 83 c3 60      next: add rbx, 96
    eb b9            jmp run
    48 83 7b 48 00   fail: cmp qword ptr [rbx + 72], 0
    75 f3            jne next
    48 f7 d8         neg rax
    49 89 c4         mov r12, rax
    b8 01 00 00 00   mov eax, 1 (write)
    bf 02 00 00 00   mov edi, 2
    48 8b 73 50      mov rsi, [rbx + 80]
    48 8b 53 58      mov rdx, [rbx + 88]
    0f 05            syscall
    b8 e7 00 00 00   mov eax, 231 (exit_group)
    4c 89 e7         mov rdi, r12
    0f 05            syscall`,
  arm64: `
    13 10 a0 d2      mov x19, RECORDS_ADDRESS
    68 02 40 f9      run: ldr x8, [x19]
    60 86 40 a9      ldp x0, x1, [x19, 8]
    62 8e 41 a9      ldp x2, x3, [x19, 24]
    64 96 42 a9      ldp x4, x5, [x19, 40]
    01 00 00 d4      svc 0
    40 01 f8 b7      tbnz x0, 63, fail
    69 aa 43 a9      ldp x9, x10, [x19, 56]
    49 00 00 b4      cbz x9, jump
    20 01 00 f9      str x0, [x9]
    80 00 00 b4      jump: cbz x0, next
    6a 00 00 b4      cbz x10, next
    f3 03 0a aa      mov x19, x10
    f4 ff ff 17      b run
    73 82 01 91      next: add x19, x19, 96
    f2 ff ff 17      b run
    69 26 40 f9      fail: ldr x9, [x19, 72]
    a9 ff ff b5      cbnz x9, next
    f4 03 00 cb      neg x20, x0
    08 08 80 d2      mov x8, 64 (write)
    40 00 80 d2      mov x0, 2
    61 0a 45 a9      ldp x1, x2, [x19, 80]
    01 00 00 d4      svc 0
    c8 0b 80 d2      mov x8, 94 (exit_group)
    e0 03 14 aa      mov x0, x20
    01 00 00 d4      svc 0`,
};

/** The bytes of the listing. */
export function machineCode(arch: Architecture): Buffer {
  const bytes = listings[arch].split("\n").flatMap((line) => /^\s*((?:[0-9a-f]{2} )+)/.exec(line)?.[1]?.trim().split(" ") ?? []);
  return Buffer.from(bytes.map((byte) => Number.parseInt(byte, 16)));
}
