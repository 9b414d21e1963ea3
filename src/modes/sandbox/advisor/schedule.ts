import { BUSY_TICK_MS, FIRST_TICK_MS, QUIET_TICK_MS, SUBMISSION_BURST, SUBMISSION_INTERVAL_MS } from "./limits.ts";

/**
 * When to look at the aggregator: 1 s after the first new key, every 10 s while new keys arrive, doubling to 2 min when it is quiet; never
 * more often than the gateway accepts. Time is an argument.
 */
export class Schedule {
  #interval = QUIET_TICK_MS;
  #quiet = true;
  /** New keys came since the last tick. */
  #fresh = false;
  #next: number | undefined;
  #tokens = SUBMISSION_BURST;
  #refilledAt = 0;

  /** When the next tick is due; undefined: when something new arrives. */
  next(): number | undefined {
    return this.#next;
  }

  /** A key was seen for the first time. */
  newKey(now: number): void {
    this.#at(now + (this.#quiet ? FIRST_TICK_MS : BUSY_TICK_MS));
    this.#quiet = false;
    this.#fresh = true;
    this.#interval = BUSY_TICK_MS;
  }

  /** A known key was seen: look again in due time. */
  knownKey(now: number): void {
    if (this.#next === undefined) this.#next = now + this.#interval;
  }

  /** A tick has passed. `more`: something is left that is not reported. */
  ticked(now: number, more: boolean): void {
    this.#quiet = !this.#fresh;
    this.#interval = this.#fresh ? BUSY_TICK_MS : Math.min(QUIET_TICK_MS, this.#interval * 2);
    this.#fresh = false;
    this.#next = more || !this.#quiet ? now + this.#interval : undefined;
  }

  /** Looks again soon: the gateway is back. */
  nudge(now: number): void {
    this.#at(now + FIRST_TICK_MS);
  }

  /** Takes the right to submit now; else the time at which there is one. */
  takeSubmission(now: number): true | number {
    const refill = Math.floor((now - this.#refilledAt) / SUBMISSION_INTERVAL_MS);
    if (refill > 0) {
      this.#tokens = Math.min(SUBMISSION_BURST, this.#tokens + refill);
      this.#refilledAt = this.#tokens === SUBMISSION_BURST ? now : this.#refilledAt + refill * SUBMISSION_INTERVAL_MS;
    }
    if (this.#tokens === 0) {
      this.#next = this.#refilledAt + SUBMISSION_INTERVAL_MS;
      return this.#next;
    }
    if (this.#tokens === SUBMISSION_BURST) this.#refilledAt = now;
    this.#tokens--;
    return true;
  }

  /** Never later than what is planned already. */
  #at(time: number): void {
    if (this.#next === undefined || time < this.#next) this.#next = time;
  }
}
