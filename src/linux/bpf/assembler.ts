import { OpenShellError } from "../../error.ts";
import { type BpfInstruction, type Opcode, opcodes, type Register, registers } from "./instruction.ts";

/** The kernel's limit for programs without CAP_BPF; ours have a few dozen (BPF_MAXINSNS). */
const MAX_INSTRUCTIONS = 4096;
const BPF_PSEUDO_MAP_FD = 1;

interface Pending {
  readonly opcode: Opcode;
  readonly destination?: Register;
  readonly source?: Register | number;
  readonly offset?: number;
  readonly immediate?: number;
  readonly target?: string;
}

/** Writes an extended BPF program with names for jump targets, so that nobody counts offsets. Jumps go forward only. */
export class BpfAssembler {
  readonly #pending: Pending[] = [];
  readonly #labels = new Map<string, number>();

  move(destination: Register, source: Register | number): this {
    if (typeof source === "number") return this.#add({ opcode: "moveImmediate", destination, immediate: source });
    return this.#add({ opcode: "moveRegister", destination, source });
  }

  add(destination: Register, amount: number): this {
    return this.#add({ opcode: "addImmediate", destination, immediate: amount });
  }

  /** destination = the 32-bit word at `base + offset`. */
  load32(destination: Register, base: Register, offset: number): this {
    return this.#add({ opcode: "load32", destination, source: base, offset });
  }

  /** The 32-bit word at `base + offset` = source. */
  store32(base: Register, offset: number, source: Register): this {
    return this.#add({ opcode: "store32", destination: base, source, offset });
  }

  /** destination = the map behind a descriptor of this process. */
  loadMap(destination: Register, map: number): this {
    this.#add({ opcode: "loadMap", destination, source: BPF_PSEUDO_MAP_FD, immediate: map });
    // Its upper half: an instruction of zeros.
    return this.#add({ opcode: "loadMap", immediate: 0 });
  }

  /** Calls a function of the kernel by its number in enum bpf_func_id. */
  call(helper: number): this {
    return this.#add({ opcode: "call", immediate: helper });
  }

  /** Compares 32 bits. */
  ifEqual(register: Register, value: number, target: string): this {
    return this.#add({ opcode: "ifEqual", destination: register, immediate: value, target });
  }

  /** Compares 32 bits. */
  ifNotEqual(register: Register, value: number, target: string): this {
    return this.#add({ opcode: "ifNotEqual", destination: register, immediate: value, target });
  }

  /** A pointer that the kernel may have left out. */
  ifNull(register: Register, target: string): this {
    return this.#add({ opcode: "ifNull", destination: register, immediate: 0, target });
  }

  goto(target: string): this {
    return this.#add({ opcode: "jump", target });
  }

  exit(): this {
    return this.#add({ opcode: "exit" });
  }

  label(name: string): this {
    if (this.#labels.has(name)) throw new OpenShellError("internal", `BPF label ${name} is defined twice`);
    this.#labels.set(name, this.#pending.length);
    return this;
  }

  /** Resolves the labels. Throws when one is missing or behind its jump, or when the program is too long. */
  assemble(): BpfInstruction[] {
    const count = this.#pending.length;
    if (count > MAX_INSTRUCTIONS)
      throw new OpenShellError("internal", `BPF program has ${count} instructions, at most ${MAX_INSTRUCTIONS} are possible`);
    return this.#pending.map((instruction, index) => this.#resolve(instruction, index));
  }

  #resolve(instruction: Pending, index: number): BpfInstruction {
    const { opcode, destination, source, offset, immediate, target } = instruction;
    // The second half of a map's address is all zeros, its code too.
    const code = opcode === "loadMap" && destination === undefined ? 0 : opcodes[opcode];
    return {
      code,
      destination: destination === undefined ? 0 : registers[destination],
      source: typeof source === "number" ? source : source === undefined ? 0 : registers[source],
      offset: target === undefined ? (offset ?? 0) : this.#distance(index, target),
      immediate: immediate ?? 0,
    };
  }

  #distance(from: number, label: string): number {
    const to = this.#labels.get(label);
    if (to === undefined) throw new OpenShellError("internal", `BPF label ${label} is missing`);
    if (to <= from) throw new OpenShellError("internal", `BPF label ${label} is behind its jump`);
    return to - from - 1;
  }

  #add(instruction: Pending): this {
    this.#pending.push(instruction);
    return this;
  }
}
