import { OpenShellError } from "../../../error.ts";
import { SUBMISSION_BURST, SUBMISSION_INTERVAL_MS } from "./limits.ts";

/** Limits how often each sandbox may submit: a bucket of `SUBMISSION_BURST` that regains one place every `SUBMISSION_INTERVAL_MS`. */
export class SubmissionRate {
  /** Per sandbox, the time at which its bucket would be full again. */
  private readonly fullAt = new Map<string, number>();

  /** Takes one place; throws `resource_exhausted` that says when the next one is free. */
  take(sandboxId: string, now: number): void {
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
