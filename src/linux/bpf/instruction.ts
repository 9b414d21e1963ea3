/** Extended BPF instructions (Documentation/bpf/standardization/instruction-set.rst). Pure; see program.ts for loading. */

/** r0: result; r1–r5: arguments; r6–r9: kept across calls; r10: frame pointer, read-only. */
export const registers = { r0: 0, r1: 1, r2: 2, r3: 3, r4: 4, r5: 5, r6: 6, r7: 7, r8: 8, r9: 9, r10: 10 } as const;
export type Register = keyof typeof registers;

/** BPF_ALU64 and BPF_JMP32 operations with an immediate or a register. */
export const opcodes = {
  moveRegister: 0xbf,
  moveImmediate: 0xb7,
  addImmediate: 0x07,
  load32: 0x61,
  store32: 0x63,
  /** Two slots; with source 1 (BPF_PSEUDO_MAP_FD) the immediate is the descriptor of a map. */
  loadMap: 0x18,
  call: 0x85,
  exit: 0x95,
  jump: 0x05,
  /** BPF_JMP32: the lower 32 bits are compared, so that no immediate is sign-extended. */
  ifEqual: 0x16,
  ifNotEqual: 0x56,
  /** BPF_JMP: all 64 bits; for pointers. */
  ifNull: 0x15,
} as const;
export type Opcode = keyof typeof opcodes;

/** struct bpf_insn, still with fields. */
export interface BpfInstruction {
  readonly code: number;
  readonly destination: number;
  readonly source: number;
  readonly offset: number;
  readonly immediate: number;
}

/** The array of struct bpf_insn for the kernel, 8 bytes each, in the byte order of both platforms. */
export function encodeBpf(program: readonly BpfInstruction[]): Buffer {
  const out = Buffer.alloc(program.length * 8);
  for (const [index, { code, destination, source, offset, immediate }] of program.entries()) {
    const at = index * 8;
    out.writeUInt8(code, at);
    out.writeUInt8((source << 4) | destination, at + 1);
    out.writeInt16LE(offset, at + 2);
    out.writeInt32LE(immediate | 0, at + 4);
  }
  return out;
}
