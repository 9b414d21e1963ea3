import type { InferenceLimits } from "./limits.ts";

const MINUTE = 60_000;
/** Minutes that a budget of tokens looks back. */
const WINDOW = 60;

/** Whether a request may begin. `retryAfter`: seconds until it is worth asking again. */
export type Admission = { readonly admitted: true } | { readonly admitted: false; readonly reason: string; readonly retryAfter: number };

const ADMITTED: Admission = { admitted: true };

/** Counts requests and tokens of one sandbox against its limits. The clock is the caller's, in milliseconds; only differences count. */
export class InferenceBudget {
  limits: InferenceLimits;
  #running = 0;
  /** Requests that may begin now. */
  #credit: number;
  #creditTime = 0;
  /** Tokens by minute of the clock; the newest last. */
  readonly #spent: { minute: number; tokens: number }[] = [];

  constructor(limits: InferenceLimits) {
    this.limits = limits;
    this.#credit = limits.requestsPerMinute;
  }

  /** Takes a place; `ended` gives it back. */
  admit(now: number): Admission {
    const { requestsPerMinute, tokensPerHour, concurrentRequests } = this.limits;
    if (concurrentRequests > 0 && this.#running >= concurrentRequests)
      return { admitted: false, reason: `${this.#running} requests are under way, at most ${concurrentRequests} may be`, retryAfter: 1 };
    const spent = this.#spentIn(now);
    if (tokensPerHour > 0 && spent >= tokensPerHour)
      return {
        admitted: false,
        reason: `${spent} tokens in the last hour, ${tokensPerHour} are the limit`,
        retryAfter: this.#untilOldestLeaves(now),
      };
    if (requestsPerMinute > 0 && !this.#takeCredit(now, requestsPerMinute))
      return { admitted: false, reason: `more than ${requestsPerMinute} requests a minute`, retryAfter: Math.ceil(60 / requestsPerMinute) };
    this.#running++;
    return ADMITTED;
  }

  /** A request that was admitted is over. */
  ended(now: number, tokens: number): void {
    this.#running--;
    const minute = Math.floor(now / MINUTE);
    const last = this.#spent.at(-1);
    if (last?.minute === minute) last.tokens += tokens;
    else this.#spent.push({ minute, tokens });
  }

  #takeCredit(now: number, perMinute: number): boolean {
    const earned = (Math.max(0, now - this.#creditTime) / MINUTE) * perMinute;
    this.#credit = Math.min(perMinute, this.#credit + earned);
    this.#creditTime = now;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return true;
  }

  #spentIn(now: number): number {
    const oldest = Math.floor(now / MINUTE) - WINDOW;
    while ((this.#spent[0]?.minute ?? Number.POSITIVE_INFINITY) < oldest) this.#spent.shift();
    return this.#spent.reduce((total, { tokens }) => total + tokens, 0);
  }

  #untilOldestLeaves(now: number): number {
    const oldest = this.#spent[0]?.minute ?? 0;
    return Math.max(1, Math.ceil(((oldest + WINDOW + 1) * MINUTE - now) / 1000));
  }
}
