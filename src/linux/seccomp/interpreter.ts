import { BPF_ALU_AND, BPF_JMP_JA, BPF_JMP_JEQ, BPF_JMP_JGE, BPF_JMP_JSET, BPF_LD_W_ABS, BPF_RET_K, type Instruction } from "./assembler.ts";

/** What a filter sees of one system call (struct seccomp_data). */
export interface CallData {
  readonly arch: number;
  readonly nr: number;
  readonly args: readonly bigint[];
}

/** Runs a filter as the kernel would and returns its action; for tests, which cannot try the dangerous calls. */
export function interpret(program: readonly Instruction[], call: CallData): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.nr >>> 0, 0);
  data.writeUInt32LE(call.arch, 4);
  for (const [index, value] of call.args.entries()) data.writeBigUInt64LE(BigInt.asUintN(64, value), 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`filter runs off its end at ${at}`);
    const { code, jt, jf, k } = instruction;
    switch (code) {
      case BPF_LD_W_ABS:
        accumulator = data.readUInt32LE(k);
        break;
      case BPF_ALU_AND:
        accumulator = (accumulator & k) >>> 0;
        break;
      case BPF_JMP_JA:
        at += k;
        break;
      case BPF_JMP_JEQ:
        at += accumulator === k ? jt : jf;
        break;
      case BPF_JMP_JGE:
        at += accumulator >= k ? jt : jf;
        break;
      case BPF_JMP_JSET:
        at += (accumulator & k) !== 0 ? jt : jf;
        break;
      case BPF_RET_K:
        return k;
      default:
        throw new Error(`unknown instruction ${code}`);
    }
  }
}
