import { FLOW_MINIMUM_BYTES, isMemoryShort } from "../held-bytes.ts";

/** What the windows of all connections may grow by, together. A stalled gigabyte holds at most this much beside its first window. */
export const WINDOW_BUDGET_BYTES: number = 32 * 1024 * 1024;

let granted = 0;

/** Bytes of the budget that are in use. */
export function grantedWindowBytes(): number {
  return granted;
}

/**
 * What a peer may still send on a stream or a connection. Bytes count as gone until they have been passed on, so that the window is also what
 * may wait in memory. It grows while they are passed on at once, within a budget that all connections share. While memory is short, the peer is told
 * of no more than the least that every flow has; the rest is credit for later.
 */
export class ReceiveWindow {
  readonly #initial: number;
  readonly #maximum: number;
  #size: number;
  /** What the peer may send. */
  #open: number;
  /** What may be told to the peer, and is not worth a frame yet. */
  #credit = 0;

  /** `open`: what the peer takes the window for before it is told anything. */
  constructor(size: number, maximum: number, open: number = size) {
    this.#initial = size;
    this.#size = size;
    this.#maximum = maximum;
    this.#open = open;
  }

  /** The first increment, when the peer takes the window for another size. */
  start(): number {
    if (isMemoryShort()) {
      this.#credit = Math.max(0, this.#size - this.#open);
      return 0;
    }
    const increment = this.#size - this.#open;
    this.#open = this.#size;
    return increment;
  }

  /** False: the peer has sent more than it may. */
  received(size: number): boolean {
    this.#open -= size;
    return this.#open >= 0;
  }

  /** Bytes have left: gives the increment to tell the peer, 0 while it is not worth a frame. */
  passed(size: number): number {
    this.#credit += size;
    // Half of it at once, so that the peer is not made to send crumbs.
    if (isMemoryShort())
      return this.#open > FLOW_MINIMUM_BYTES / 2 ? 0 : this.#announce(Math.min(this.#credit, FLOW_MINIMUM_BYTES - this.#open));
    if (this.#credit < this.#size / 2) return 0;
    // Half of it has come and gone and nothing waits: the window is what slows the peer down.
    if (this.#open + this.#credit >= this.#size) this.#grow();
    return this.#announce(this.#credit);
  }

  /** Gives back what was taken of the budget. */
  release(): void {
    granted -= this.#size - this.#initial;
    this.#size = this.#initial;
  }

  #announce(increment: number): number {
    if (increment <= 0) return 0;
    this.#open += increment;
    this.#credit -= increment;
    return increment;
  }

  #grow(): void {
    const more = Math.min(this.#size, this.#maximum - this.#size);
    if (more <= 0 || granted + more > WINDOW_BUDGET_BYTES) return;
    granted += more;
    this.#size += more;
    this.#credit += more;
  }
}
