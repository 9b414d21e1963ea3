import { OpenShellError } from "../../error.ts";

/** Classic BPF as seccomp and sockets run it (include/uapi/linux/filter.h, bpf_common.h). */
export const BPF_LD_W_ABS = 0x20;
export const BPF_LD_H_ABS = 0x28;
export const BPF_LD_B_ABS = 0x30;
export const BPF_LD_H_IND = 0x48;
export const BPF_LD_B_IND = 0x50;
export const BPF_LDX_B_MSH = 0xb1;
export const BPF_JMP_JA = 0x05;
export const BPF_JMP_JEQ = 0x15;
export const BPF_JMP_JGE = 0x35;
export const BPF_JMP_JSET = 0x45;
export const BPF_ALU_AND = 0x54;
export const BPF_RET_K = 0x06;

/** struct sock_filter: u16 code, u8 jt, u8 jf, u32 k. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** Conditional jumps have eight bits; the kernel takes at most 4,096 instructions (BPF_MAXINSNS). */
const MAX_JUMP = 255;
const MAX_INSTRUCTIONS = 4096;

interface Pending {
  readonly code: number;
  readonly k: number;
  readonly whenTrue?: string | undefined;
  readonly whenFalse?: string | undefined;
}

/** Writes a filter with names for jump targets, so that nobody counts offsets. */
export class FilterAssembler {
  readonly #pending: Pending[] = [];
  readonly #labels = new Map<string, number>();

  /** Loads the 32-bit word at a byte offset of struct seccomp_data, or of a packet (big-endian there). */
  load(offset: number): this {
    return this.#add({ code: BPF_LD_W_ABS, k: offset });
  }

  /** Sockets only: the 16 bits at an offset of the packet; behind its IPv4 header after `skipIpv4Header`. */
  loadHalf(offset: number, from: "packet" | "transport" = "packet"): this {
    return this.#add({ code: from === "packet" ? BPF_LD_H_ABS : BPF_LD_H_IND, k: offset });
  }

  /** Sockets only: the byte at an offset of the packet; behind its IPv4 header after `skipIpv4Header`. */
  loadByte(offset: number, from: "packet" | "transport" = "packet"): this {
    return this.#add({ code: from === "packet" ? BPF_LD_B_ABS : BPF_LD_B_IND, k: offset });
  }

  /** Sockets only: remembers the length of the IPv4 header that begins the packet. */
  skipIpv4Header(): this {
    return this.#add({ code: BPF_LDX_B_MSH, k: 0 });
  }

  /** Keeps only these bits of the loaded word. */
  mask(bits: number): this {
    return this.#add({ code: BPF_ALU_AND, k: bits });
  }

  /** A missing label means: go on with the next instruction. */
  ifEqual(value: number, whenTrue?: string, whenFalse?: string): this {
    return this.#add({ code: BPF_JMP_JEQ, k: value, whenTrue, whenFalse });
  }

  ifAtLeast(value: number, whenTrue?: string, whenFalse?: string): this {
    return this.#add({ code: BPF_JMP_JGE, k: value, whenTrue, whenFalse });
  }

  ifAnyBit(bits: number, whenTrue?: string, whenFalse?: string): this {
    return this.#add({ code: BPF_JMP_JSET, k: bits, whenTrue, whenFalse });
  }

  goto(label: string): this {
    return this.#add({ code: BPF_JMP_JA, k: 0, whenTrue: label });
  }

  return(action: number): this {
    return this.#add({ code: BPF_RET_K, k: action });
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new OpenShellError("internal", `seccomp label ${name} is defined twice`);
    this.#labels.set(name, this.#pending.length);
    return this;
  }

  /** Resolves the labels. Throws when one is missing, behind, or too far. */
  assemble(): Instruction[] {
    if (this.#pending.length > MAX_INSTRUCTIONS) {
      throw new OpenShellError(
        "internal",
        `seccomp filter has ${this.#pending.length} instructions, at most ${MAX_INSTRUCTIONS} are possible`,
      );
    }
    return this.#pending.map((instruction, index) => {
      const taken = this.#distance(index, instruction.whenTrue);
      const otherwise = this.#distance(index, instruction.whenFalse);
      if (instruction.code === BPF_JMP_JA) return { code: instruction.code, jt: 0, jf: 0, k: taken };
      if (taken > MAX_JUMP || otherwise > MAX_JUMP) {
        throw new OpenShellError(
          "internal",
          `seccomp jump of ${Math.max(taken, otherwise)} instructions, at most ${MAX_JUMP} are possible`,
        );
      }
      return { code: instruction.code, jt: taken, jf: otherwise, k: instruction.k >>> 0 };
    });
  }

  #distance(from: number, label: string | undefined): number {
    if (label === undefined) return 0;
    const to = this.#labels.get(label);
    if (to === undefined) throw new OpenShellError("internal", `seccomp label ${label} is missing`);
    if (to <= from) throw new OpenShellError("internal", `seccomp label ${label} is behind its jump`);
    return to - from - 1;
  }

  #add(instruction: Pending): this {
    this.#pending.push(instruction);
    return this;
  }
}

/** The array of struct sock_filter for the kernel. */
export function encodeProgram(program: readonly Instruction[]): Buffer {
  const out = Buffer.alloc(program.length * 8);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    out.writeUInt16LE(code, index * 8);
    out.writeUInt8(jt, index * 8 + 2);
    out.writeUInt8(jf, index * 8 + 3);
    out.writeUInt32LE(k, index * 8 + 4);
  }
  return out;
}
