/** What a supervisor's memory grows by, as the kernel counts it. */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import type { HostProgram, TestInternet } from "../internet/open.ts";

/** Kilobytes. */
export interface Memory {
  /** All that is in memory, files included. */
  readonly resident: number;
  /** What no other process has, and no file. */
  readonly own: number;
}

/**
 * The memory of one program of the test's host. Its largest size is kept by the kernel (`VmHWM`), so that nothing is missed between two looks;
 * `start` begins anew with what there is now.
 */
export class ProgramMemory {
  readonly #directory: string;
  #start = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** The host has its own numbers of processes: ours is the one in its namespace that has this number there. */
  static async of(net: TestInternet, program: HostProgram): Promise<ProgramMemory> {
    const namespace = (await net.runOnHost(["/usr/bin/readlink", "/proc/self/ns/pid"])).stdout.trim();
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const directory = `/proc/${pid}`;
      const numbers = /^NSpid:\s+(.*)$/m.exec(read(`${directory}/status`))?.[1]?.split("\t") ?? [];
      if (Number(numbers.at(-1)) === program.pid && numbers.length > 1 && namespaceOf(directory) === namespace)
        return new ProgramMemory(directory);
    }
    throw new Error(`no process ${program.pid} in ${namespace}`);
  }

  now(): Memory {
    const text = read(`${this.#directory}/status`);
    return { resident: kilobytes(text, "VmRSS"), own: kilobytes(text, "RssAnon") };
  }

  /** What it has computed, its kernel time included; a hundredth is the unit on every Linux. */
  processorSeconds(): number {
    const [, fields = ""] = read(`${this.#directory}/stat`).split(") ");
    const [user = Number.NaN, system = Number.NaN] = fields.split(" ").slice(11, 13).map(Number);
    return (user + system) / 100;
  }

  /** From here on. */
  start(): void {
    // 5: VmHWM becomes VmRSS (Documentation/filesystems/proc.rst).
    writeFileSync(`${this.#directory}/clear_refs`, "5");
    this.#start = this.now().resident;
  }

  /** By how much the largest size since `start` is larger than the size then. */
  growth(): number {
    return kilobytes(read(`${this.#directory}/status`), "VmHWM") - this.#start;
  }
}

function namespaceOf(directory: string): string {
  try {
    return readlinkSync(`${directory}/ns/pid`);
  } catch {
    return ""; // ended meanwhile
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // ended meanwhile
  }
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN);
}
