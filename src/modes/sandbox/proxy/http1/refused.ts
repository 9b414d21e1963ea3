/** Why a head is refused, for the answer and the log. */
export interface Refusal {
  readonly status: 400 | 403 | 405 | 408 | 413 | 414 | 421 | 431 | 503 | 505;
  /** Machine code. */
  readonly code: string;
  readonly reason: string;
}

/** Carries a refusal out of the parser; never leaves this folder. */
export class HeadError extends Error {
  readonly refusal: Refusal;

  constructor(status: Refusal["status"], code: string, reason: string) {
    super(reason);
    this.refusal = { status, code, reason };
  }
}
