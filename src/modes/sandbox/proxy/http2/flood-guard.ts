import { ConnectionError, ErrorCode } from "./errors.ts";

/** How much of something a peer may do: at once, and per second from then on. */
interface Allowance {
  readonly burst: number;
  readonly perSecond: number;
  readonly what: string;
}

/**
 * What costs us work and the sender nothing. The numbers are several times what the busiest real clients do: gRPC sends a PING per window of
 * data, a client that cancels all of its calls one RST_STREAM each.
 */
const ALLOWED = {
  reset: { burst: 500, perSecond: 100, what: "streams that were reset" },
  ping: { burst: 1000, perSecond: 200, what: "PING frames" },
  settings: { burst: 100, perSecond: 10, what: "SETTINGS frames" },
  emptyData: { burst: 1000, perSecond: 200, what: "DATA frames without data" },
  /** Frames that are read and mean nothing: PRIORITY, unknown types, frames for streams that are over. */
  idle: { burst: 20_000, perSecond: 10_000, what: "frames without effect" },
  /** Windows so small that we must send crumbs. */
  crumbs: { burst: 5000, perSecond: 500, what: "window updates of a few bytes" },
} as const satisfies Record<string, Allowance>;

export type Flood = keyof typeof ALLOWED;

/** Counts what a peer does without effect, and ends the connection when it is too much (threat 34). */
export class FloodGuard {
  readonly #now: () => number;
  readonly #used = new Map<Flood, { level: number; at: number }>();

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Throws ConnectionError (ENHANCE_YOUR_CALM). */
  charge(flood: Flood): void {
    const { burst, perSecond, what }: Allowance = ALLOWED[flood];
    const now = this.#now();
    const used = this.#used.get(flood) ?? { level: 0, at: now };
    used.level = Math.max(0, used.level - ((now - used.at) / 1000) * perSecond) + 1;
    used.at = now;
    this.#used.set(flood, used);
    if (used.level > burst) throw new ConnectionError(ErrorCode.enhanceYourCalm, `more than ${burst} ${what}`);
  }
}
