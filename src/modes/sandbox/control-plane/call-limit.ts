/** Calls that a sandbox may make at once, and per second from then on: a program that looks every second for ten others is far below. */
const BURST = 100;
const PER_SECOND = 20;
/** Calls under way; an answer may have 3 MiB. */
const CONCURRENT = 8;

/** Keeps the inside of one sandbox from keeping the gateway busy. */
export class CallLimit {
  readonly #now: () => number;
  #level = 0;
  #at: number;
  #running = 0;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#at = now();
  }

  /** Why another call is too many; undefined: it has begun, and `ended` must be called. */
  begin(): string | undefined {
    const now = this.#now();
    this.#level = Math.max(0, this.#level - ((now - this.#at) / 1000) * PER_SECOND);
    this.#at = now;
    if (this.#running >= CONCURRENT) return `${this.#running} calls to the gateway are under way, at most ${CONCURRENT} may be`;
    if (this.#level + 1 > BURST) return `more than ${BURST} calls to the gateway at once, or ${PER_SECOND} per second`;
    this.#level += 1;
    this.#running += 1;
    return undefined;
  }

  ended(): void {
    this.#running -= 1;
  }
}
