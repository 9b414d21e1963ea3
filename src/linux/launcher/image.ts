import { OpenShellError } from "../../error.ts";
import { type Architecture, type SyscallName, syscallNumber } from "../syscall-numbers.ts";
import { machineCode, RECORDS_ADDRESS, record } from "./machine-code.ts";

/**
 * A program of some system calls in a row, as an ELF image. A process of several threads, which every JavaScript runtime is, may not enter a
 * user namespace, and cannot fork; a program of one thread may. What it does is written here as data; its machine code knows nothing but how
 * to make the next call.
 */

/** A number, a string of the kernel's (NUL-terminated), bytes, an argument vector, or the place of a stored result. */
export type LauncherArgument = number | string | Uint8Array | readonly string[] | Cell;

/** Eight bytes of memory that hold the result of a call. */
export class Cell {
  readonly bytes = 8;
}

export interface LauncherCall {
  /** Printed when the call fails; the exit code is then the error number. Absent: a failure does not matter. */
  readonly failure?: string;
  /** Where the result goes: into a cell, or straight into the first argument of the call that follows. */
  readonly result?: Cell | "next-argument";
  /** Label to go on at when the result is positive. */
  readonly whenPositive?: string;
}

interface Step extends LauncherCall {
  readonly name: SyscallName;
  readonly arguments: readonly LauncherArgument[];
}

/** ELF-64: code and data in segments of their own, so that nothing is both writable and executable. */
const CODE_ADDRESS = 0x40_0000;
const CODE_OFFSET = 0x100;
const SEGMENT_ALIGNMENT = 0x1_0000;
const MACHINES: Readonly<Record<Architecture, number>> = { x64: 62, arm64: 183 };

export class LauncherImage {
  readonly #arch: Architecture;
  readonly #steps: Step[] = [];
  readonly #labels = new Map<string, number>();

  constructor(arch: Architecture) {
    this.#arch = arch;
  }

  /** Adds a call; at most six arguments, as the kernel takes them. */
  call(name: SyscallName, args: readonly LauncherArgument[], options: LauncherCall = {}): this {
    this.#steps.push({ name, arguments: args, ...options });
    return this;
  }

  /** Names the place of the next call. */
  label(name: string): this {
    this.#labels.set(name, this.#steps.length);
    return this;
  }

  /** The whole file. The last call must be one that does not return: after it there is nothing. */
  build(): Buffer {
    const code = machineCode(this.#arch);
    const data = this.#data();
    const header = elfHeader(MACHINES[this.#arch], code.length, data.length);
    const image = Buffer.alloc(SEGMENT_ALIGNMENT + data.length);
    image.set(header, 0);
    image.set(code, CODE_OFFSET);
    image.set(data, SEGMENT_ALIGNMENT);
    return image;
  }

  #data(): Buffer {
    const memory = new Memory(RECORDS_ADDRESS, this.#steps.length * record.size);
    for (const [index, step] of this.#steps.entries()) {
      const at = index * record.size;
      memory.word(at + record.number, this.#number(step.name));
      for (const [position, argument] of step.arguments.entries()) {
        memory.word(at + record.arguments + 8 * position, memory.argument(argument));
      }
      if (step.result === "next-argument") memory.word(at + record.store, RECORDS_ADDRESS + at + record.size + record.arguments);
      else if (step.result) memory.word(at + record.store, memory.argument(step.result));
      if (step.whenPositive !== undefined) memory.word(at + record.jump, RECORDS_ADDRESS + this.#target(step.whenPositive) * record.size);
      if (step.failure === undefined) {
        memory.word(at + record.mayFail, 1);
      } else {
        const message = Buffer.from(step.failure);
        memory.word(at + record.message, memory.argument(message));
        memory.word(at + record.messageLength, message.length);
      }
    }
    return memory.contents();
  }

  #number(name: SyscallName): number {
    const number = syscallNumber(name, this.#arch);
    if (number < 0) throw new OpenShellError("internal", `there is no system call ${name} on ${this.#arch}`);
    return number;
  }

  #target(label: string): number {
    const index = this.#labels.get(label);
    if (index === undefined) throw new OpenShellError("internal", `no call is labelled ${label}`);
    return index;
  }
}

/** What the records point to, laid out behind them. */
class Memory {
  readonly #base: number;
  readonly #chunks: Buffer[];
  readonly #cells = new Map<Cell, number>();
  #size: number;

  constructor(base: number, recordBytes: number) {
    this.#base = base;
    this.#chunks = [Buffer.alloc(recordBytes)];
    this.#size = recordBytes;
  }

  word(offset: number, value: number): void {
    this.#chunks[0]?.writeBigInt64LE(BigInt(value), offset);
  }

  /** The word that the kernel gets for an argument. */
  argument(value: LauncherArgument): number {
    if (typeof value === "number") return value;
    if (typeof value === "string") return this.#string(value);
    if (value instanceof Cell) return this.#cell(value);
    if (value instanceof Uint8Array) return this.#append(Buffer.from(value));
    const pointers = Buffer.alloc(8 * (value.length + 1));
    for (const [index, text] of value.entries()) pointers.writeBigInt64LE(BigInt(this.#string(text)), 8 * index);
    return this.#append(pointers);
  }

  contents(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  #string(text: string): number {
    if (text.includes("\0")) throw new OpenShellError("invalid_argument", `${JSON.stringify(text)} contains a NUL byte`);
    return this.#append(Buffer.from(`${text}\0`));
  }

  #cell(cell: Cell): number {
    const address = this.#cells.get(cell) ?? this.#append(Buffer.alloc(cell.bytes));
    this.#cells.set(cell, address);
    return address;
  }

  #append(bytes: Buffer): number {
    const address = this.#base + this.#size;
    const padding = Buffer.alloc((8 - (bytes.length % 8)) % 8);
    this.#chunks.push(bytes, padding);
    this.#size += bytes.length + padding.length;
    return address;
  }
}

/** Elf64_Ehdr and three Elf64_Phdr: code, data, and a stack that is not executable (include/uapi/linux/elf.h). */
function elfHeader(machine: number, codeBytes: number, dataBytes: number): Buffer {
  const PT_LOAD = 1;
  const PT_GNU_STACK = 0x6474e551;
  const EXECUTE = 1;
  const WRITE = 2;
  const READ = 4;
  const header = Buffer.alloc(64 + 3 * 56);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(machine, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(CODE_ADDRESS + CODE_OFFSET), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(3, 56);
  const segment = (index: number, type: number, flags: number, offset: number, address: number, size: number) => {
    const at = 64 + index * 56;
    header.writeUInt32LE(type, at);
    header.writeUInt32LE(flags, at + 4);
    header.writeBigUInt64LE(BigInt(offset), at + 8);
    header.writeBigUInt64LE(BigInt(address), at + 16);
    header.writeBigUInt64LE(BigInt(address), at + 24);
    header.writeBigUInt64LE(BigInt(size), at + 32);
    header.writeBigUInt64LE(BigInt(size), at + 40);
    header.writeBigUInt64LE(BigInt(SEGMENT_ALIGNMENT), at + 48);
  };
  segment(0, PT_LOAD, READ | EXECUTE, 0, CODE_ADDRESS, CODE_OFFSET + codeBytes);
  segment(1, PT_LOAD, READ | WRITE, SEGMENT_ALIGNMENT, RECORDS_ADDRESS, dataBytes);
  segment(2, PT_GNU_STACK, READ | WRITE, 0, 0, 0);
  return header;
}
