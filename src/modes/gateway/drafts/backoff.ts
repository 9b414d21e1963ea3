import { BACKOFF_STEPS_MS, REJECTIONS_BEFORE_BACKOFF } from "./limits.ts";

/** How often a person said no to a host and port, and until when proposals for it are refused. */
export interface Backoff {
  readonly rejections: number;
  /** Milliseconds since the epoch; 0 = not refused. */
  readonly refusedUntil: number;
  /** Why the last one was rejected; travels back to the analyst. */
  readonly reason: string;
}

/** The state after one more rejection: nothing after the first, then 1 h, 4 h, and 24 h from there on. */
export function afterRejection(before: Backoff | undefined, now: number, reason: string): Backoff {
  const rejections = (before?.rejections ?? 0) + 1;
  if (rejections < REJECTIONS_BEFORE_BACKOFF) return { rejections, refusedUntil: 0, reason };
  const step = Math.min(rejections - REJECTIONS_BEFORE_BACKOFF, BACKOFF_STEPS_MS.length - 1);
  return { rejections, refusedUntil: now + (BACKOFF_STEPS_MS[step] ?? 0), reason };
}
