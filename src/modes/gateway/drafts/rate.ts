import { OpenShellError } from "../../../error.ts";
import { SUBMISSION_BURST, SUBMISSION_INTERVAL_MS } from "./limits.ts";

/** Limits how often each sandbox may submit: a bucket of `SUBMISSION_BURST` that regains one place every `SUBMISSION_INTERVAL_MS`. */
export class SubmissionRate {
  /** Per sandbox, when its bucket would be full again, as `elapsed` counts. */
  private readonly fullAt = new Map<string, number>();
  /** Milliseconds that have passed: a clock that is set back makes nobody wait for the time to come again. */
  private elapsed = 0;
  private seen = Number.POSITIVE_INFINITY;

  /** Takes one place; throws `resource_exhausted` that says when the next one is free. `time` by any clock. */
  take(sandboxId: string, time: number): void {
    this.elapsed += Math.max(0, time - this.seen);
    this.seen = time;
    const now = this.elapsed;
    const start = Math.max(now, this.fullAt.get(sandboxId) ?? 0);
    const next = start + SUBMISSION_INTERVAL_MS;
    const wait = next - now - SUBMISSION_BURST * SUBMISSION_INTERVAL_MS;
    if (wait > 0) {
      throw new OpenShellError(
        "resource_exhausted",
        `more than ${SUBMISSION_BURST} submissions at once; one is accepted every ${SUBMISSION_INTERVAL_MS / 1000} s`,
        { next: `submit again in ${Math.ceil(wait / 1000)} s` },
      );
    }
    this.forgetFull(now);
    this.fullAt.set(sandboxId, next);
  }

  /** Full buckets say nothing; without this the map would keep every sandbox that ever submitted. */
  private forgetFull(now: number): void {
    for (const [sandboxId, time] of this.fullAt) if (time <= now) this.fullAt.delete(sandboxId);
  }
}
