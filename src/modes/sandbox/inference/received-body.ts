/** Bytes of one answer that may wait for the program before its server is not read any more; the last read comes on top. */
const HELD_BYTES = 131_072;

/** An answer as it comes in, as fast as it is read. */
export interface AnswerSource {
  /** The next piece, whose memory is the receiver's; `done`: there is none. Rejects when the connection broke. */
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  /** Nobody wants the rest. */
  cancel(): Promise<void>;
}

/** How the place that an answer comes from is slowed down, and left. */
export interface SourceControl {
  pause(): void;
  resume(): void;
  cancel(): void;
}

const BROKEN = "the connection broke";

/** What has come of an answer and is not read yet. */
export class ReceivedBody implements AnswerSource {
  readonly #control: SourceControl;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #state: "open" | "done" | "broken" | "cancelled" = "open";
  #wanted: (() => void) | undefined;

  constructor(control: SourceControl) {
    this.#control = control;
  }

  /** Keeps a copy. */
  add(chunk: Buffer): void {
    if (this.#state !== "open" || chunk.length === 0) return;
    const before = this.#bytes;
    this.#pieces.push(copyOf(chunk));
    this.#bytes += chunk.length;
    if (before <= HELD_BYTES && this.#bytes > HELD_BYTES) this.#control.pause();
    this.#wake();
  }

  /** The answer is complete. */
  finish(): void {
    if (this.#state === "open") this.#state = "done";
    // The connection goes on to its next answer.
    if (this.#bytes > HELD_BYTES) this.#control.resume();
    this.#wake();
  }

  /** It never will be. */
  fail(): void {
    if (this.#state === "open") this.#state = "broken";
    this.#wake();
  }

  async read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> {
    if (this.#bytes === 0 && this.#state === "open")
      await new Promise<void>((resolve) => {
        this.#wanted = resolve;
      });
    if (this.#bytes > 0) return { done: false, value: this.#take() };
    if (this.#state === "broken") throw new Error(BROKEN);
    return { done: true };
  }

  async cancel(): Promise<void> {
    const open = this.#state === "open";
    this.#state = "cancelled";
    this.#pieces = [];
    this.#bytes = 0;
    this.#wake();
    if (open) this.#control.cancel();
  }

  #take(): Buffer {
    const [first] = this.#pieces;
    const all = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces);
    const held = this.#bytes > HELD_BYTES;
    this.#pieces = [];
    this.#bytes = 0;
    if (held && this.#state === "open") this.#control.resume();
    return all;
  }

  #wake(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted?.();
  }
}

/** Memory of its own, not of a pool: who reads it may give it back. */
function copyOf(chunk: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  copy.set(chunk);
  return copy;
}
