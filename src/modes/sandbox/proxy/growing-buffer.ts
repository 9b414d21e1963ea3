import type { ByteBudget } from "./byte-budget.ts";
import { giveBack } from "./give-back.ts";

const NO_BYTES = Buffer.alloc(0);
const FIRST_CAPACITY = 1024;

/**
 * Bytes that arrive in pieces of any size, kept in one piece: a thousand single bytes take as much memory as a thousand bytes. Memory is taken as
 * bytes arrive, not as they are announced, and out of a budget that others share.
 */
export class GrowingBuffer {
  readonly #limit: number;
  readonly #budget: ByteBudget;
  #bytes: Buffer = NO_BYTES;
  #length = 0;

  /** `limit`: no more bytes than this are ever appended; the caller sees to it. */
  constructor(limit: number, budget: ByteBudget) {
    this.#limit = limit;
    this.#budget = budget;
  }

  get length(): number {
    return this.#length;
  }

  /** Copies a piece; gives the copy, which may be changed until the next one. Undefined: the budget is used up, nothing was kept. */
  append(piece: Uint8Array): Buffer | undefined {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length && !this.#grow(length)) return undefined;
    this.#bytes.set(piece, this.#length);
    const copy = this.#bytes.subarray(this.#length, length);
    this.#length = length;
    return copy;
  }

  /** What there is; the same memory. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Gives everything back. */
  drop(): void {
    this.#budget.release(this.#bytes.length);
    this.#bytes = NO_BYTES;
    this.#length = 0;
  }

  #grow(length: number): boolean {
    const capacity = Math.max(length, Math.min(this.#limit, Math.max(this.#bytes.length * 2, FIRST_CAPACITY)));
    if (!this.#budget.take(capacity - this.#bytes.length)) return false;
    const wider = Buffer.alloc(capacity);
    this.#bytes.copy(wider, 0, 0, this.#length);
    if (this.#bytes.length > 0) giveBack(this.#bytes);
    this.#bytes = wider;
    return true;
  }
}
