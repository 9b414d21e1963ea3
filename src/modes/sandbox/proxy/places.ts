import type { Identification } from "../box/contract.ts";

/** Places that every program and every process may have, however few are free. */
const LEAST = 16;
/** As many times what is free may one have: alone, it leaves a quarter to others. */
const TIMES_FREE = 3;

/** Whom a connection is counted for: a program, by its executable, and a process of it. */
export interface Holder {
  readonly program: string;
  readonly process: string;
}

/** Connections of programs that are not known share the places of one. */
export function holderOf(who: Identification): Holder {
  if (!who.known) return { program: "", process: "" };
  const { exe, pid, startTime } = who.program;
  return { program: `exe ${exe}`, process: `pid ${pid} ${startTime}` };
}

/**
 * A number of places, shared out: whoever has many gets no more once few are free, so that a program that takes all it can leaves room to one
 * that comes later. Two that take all they can have the same share in the end.
 */
export class Places {
  readonly #limit: number;
  #used = 0;
  readonly #held = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  hasRoom({ program, process }: Holder): boolean {
    const free = this.#limit - this.#used;
    const most = Math.max(LEAST, TIMES_FREE * free);
    return free > 0 && this.#heldBy(program) < most && this.#heldBy(process) < most;
  }

  take({ program, process }: Holder): void {
    this.#used++;
    this.#held.set(program, this.#heldBy(program) + 1);
    this.#held.set(process, this.#heldBy(process) + 1);
  }

  release({ program, process }: Holder): void {
    this.#used--;
    for (const name of [program, process]) {
      const left = this.#heldBy(name) - 1;
      if (left > 0) this.#held.set(name, left);
      else this.#held.delete(name);
    }
  }

  /** Less than 0: the first has fewer places than the second, as a program, or else as a process. */
  compare(first: Holder, second: Holder): number {
    return this.#heldBy(first.program) - this.#heldBy(second.program) || this.#heldBy(first.process) - this.#heldBy(second.process);
  }

  #heldBy(name: string): number {
    return this.#held.get(name) ?? 0;
  }
}
