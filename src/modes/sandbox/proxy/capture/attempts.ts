import type { SocketAddress } from "../../box/contract.ts";

/** An opening packet: who wanted to go where. */
export interface Attempt {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
}

/** A connection is accepted within milliseconds of its opening packet; two seconds are for a busy machine. */
const GRACE_MS = 2000;
/** Accepted connections remembered until their opening packet is read; at most one look's worth of packets is ever compared. */
const MAX_ACCEPTED = 1024;

/**
 * Which attempts to connect nobody else reports. With capture an accepted connection is decided and reported with its program; what
 * remains are forged, abandoned and crowded-out ones. Time is an argument.
 */
export class Attempts {
  readonly #pending = new Map<string, { readonly attempt: Attempt; readonly at: number }>();
  readonly #accepted = new Map<string, number>();
  #unmatched = 0;

  /** Nothing waits for its other half. */
  get isEmpty(): boolean {
    return this.#pending.size === 0 && this.#accepted.size === 0;
  }

  /** Accepted connections whose opening packet was not read: of those that found the queue full, so many are known after all. */
  takeUnmatched(): number {
    const count = this.#unmatched;
    this.#unmatched = 0;
    return count;
  }

  /** An opening packet was read; again for one that the program's side repeats. */
  opened(attempt: Attempt, now: number): void {
    const key = keyOf(attempt.source, attempt.destination);
    if (this.#accepted.delete(key)) {
      this.#unmatched--;
      return;
    }
    if (!this.#pending.has(key)) this.#pending.set(key, { attempt, at: now });
  }

  /** A connection was accepted, whatever is decided about it. */
  accepted(source: SocketAddress, destination: SocketAddress, now: number): void {
    const key = keyOf(source, destination);
    if (this.#pending.delete(key)) return;
    this.#unmatched++;
    this.#accepted.set(key, now);
    const [oldest] = this.#accepted.keys();
    if (this.#accepted.size > MAX_ACCEPTED && oldest !== undefined) this.#accepted.delete(oldest);
  }

  /** The attempts that were not accepted in time, each once. */
  unreported(now: number): Attempt[] {
    for (const [key, at] of this.#accepted) {
      if (now - at < GRACE_MS) break;
      this.#accepted.delete(key);
    }
    const due: Attempt[] = [];
    for (const [key, { attempt, at }] of this.#pending) {
      if (now - at < GRACE_MS) break;
      this.#pending.delete(key);
      due.push(attempt);
    }
    return due;
  }
}

function keyOf(source: SocketAddress, destination: SocketAddress): string {
  return `${source.address} ${source.port} ${destination.address} ${destination.port}`;
}
