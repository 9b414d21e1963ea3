/** What a process takes, as the kernel accounts it; nothing for one that has ended. */
import { readFileSync } from "node:fs";

export interface Memory {
  /** Private bytes. */
  readonly own: number;
  /** With a fair part of every page that others have too. */
  readonly share: number;
}

export function memoryOf(pid: number): Memory {
  const text = read(`/proc/${pid}/smaps_rollup`);
  const bytes = (field: string) => Number(text.match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))?.[1] ?? 0) * 1024;
  return { own: bytes("Private_Dirty") + bytes("Private_Clean"), share: bytes("Pss") };
}

/** Linux reports clock ticks of a hundredth of a second to every program. */
const TICKS_PER_SECOND = 100;

/** User and system time of all its threads. */
export function cpuSeconds(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
