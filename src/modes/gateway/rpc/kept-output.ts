/** What commands wrote, kept in memory alone for who repeats a request: it may hold secrets, and is nobody's once its sandbox is gone. */
export class KeptOutput {
  readonly #byRequest = new Map<string, { readonly sandboxId: string; readonly bytes: Uint8Array }>(); // oldest first
  readonly #exists: (sandboxId: string) => boolean;
  readonly #most: number;
  #size = 0;

  /** `most`: bytes of all together; beyond it the oldest goes. */
  constructor(exists: (sandboxId: string) => boolean, most = MAX_KEPT) {
    this.#exists = exists;
    this.#most = most;
  }

  find(requestId: string): Uint8Array | undefined {
    return this.#byRequest.get(requestId)?.bytes;
  }

  /** A sandbox that is gone meanwhile leaves nothing. */
  keep(requestId: string, sandboxId: string, bytes: Uint8Array): void {
    this.forget(requestId);
    if (!this.#exists(sandboxId)) return;
    this.#byRequest.set(requestId, { sandboxId, bytes });
    this.#size += bytes.length + PER_ANSWER;
    for (const oldest of this.#byRequest.keys()) {
      if (this.#size <= this.#most) return;
      this.forget(oldest);
    }
  }

  forget(requestId: string): void {
    const kept = this.#byRequest.get(requestId);
    if (kept === undefined) return;
    this.#byRequest.delete(requestId);
    this.#size -= kept.bytes.length + PER_ANSWER;
  }

  forgetSandbox(sandboxId: string): void {
    for (const [requestId, kept] of this.#byRequest) if (kept.sandboxId === sandboxId) this.forget(requestId);
  }
}

/** Of all commands together: 64 of the longest that are kept. Bytes. */
const MAX_KEPT = 16 * 1024 * 1024;
/** What an answer takes beside its bytes, so that many empty ones are bounded too. Bytes. */
const PER_ANSWER = 512;
