/** Bytes of log that one sandbox may send at once: a busy start, a burst of denials. */
const BURST_BYTES = 1024 * 1024;
/** Bytes per second that a sandbox may send for long; a flood fills no disk and hides no other sandbox's lines (threat 30). */
const BYTES_PER_SECOND = 64 * 1024;

interface Bucket {
  bytes: number;
  filledAt: number;
  dropped: number;
}

/** A byte quota per sandbox. What does not fit is dropped and counted, and the count is told once there is room again. */
export class LogQuota {
  readonly #buckets = new Map<string, Bucket>();
  readonly #clock: { now(): number };

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** The lines that fit, in order, and how many earlier ones were dropped since the last that did. */
  admit<T>(sandboxId: string, lines: readonly T[], size: (line: T) => number): { readonly lines: T[]; readonly dropped: number } {
    const bucket = this.#filled(sandboxId);
    const admitted: T[] = [];
    let told = 0;
    for (const line of lines) {
      const bytes = size(line);
      if (bytes > bucket.bytes) {
        bucket.dropped++;
        continue;
      }
      bucket.bytes -= bytes;
      told += bucket.dropped;
      bucket.dropped = 0;
      admitted.push(line);
    }
    return { lines: admitted, dropped: told };
  }

  forget(sandboxId: string): void {
    this.#buckets.delete(sandboxId);
  }

  #filled(sandboxId: string): Bucket {
    const now = this.#clock.now();
    const bucket = this.#buckets.get(sandboxId) ?? { bytes: BURST_BYTES, filledAt: now, dropped: 0 };
    const added = (Math.max(0, now - bucket.filledAt) / 1000) * BYTES_PER_SECOND;
    bucket.bytes = Math.min(BURST_BYTES, bucket.bytes + added);
    bucket.filledAt = now;
    this.#buckets.set(sandboxId, bucket);
    return bucket;
  }
}
