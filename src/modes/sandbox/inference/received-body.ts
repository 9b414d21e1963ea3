import { giveBack } from "../proxy/give-back.ts";

/** Bytes of one answer that may wait for the program before its server is not read any more; the last read comes on top. */
const HELD_BYTES = 131_072;

/** The largest piece that is passed on: what others keep of it for a slow program is no more. */
const MAX_BLOCK_BYTES = 65_536;
/** Small pieces are collected: of an answer that comes byte by byte, each would take a hundred times its size. */
const MIN_BLOCK_BYTES = 4096;

interface Block {
  /** Memory of its own, not of a pool: who reads it may give it back. */
  readonly memory: Buffer;
  used: number;
}

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
  readonly #blocks: Block[] = [];
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
    for (let at = 0; at < chunk.length; ) {
      const block = this.#room(chunk.length - at);
      const size = chunk.copy(block.memory, block.used, at);
      block.used += size;
      at += size;
    }
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
    for (const { memory } of this.#blocks.splice(0)) giveBack(memory);
    this.#bytes = 0;
    this.#wake();
    if (open) this.#control.cancel();
  }

  /** A block that takes some of so many bytes. */
  #room(bytes: number): Block {
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.used < last.memory.length) return last;
    const block = { memory: Buffer.allocUnsafeSlow(Math.min(Math.max(bytes, MIN_BLOCK_BYTES), MAX_BLOCK_BYTES)), used: 0 };
    this.#blocks.push(block);
    return block;
  }

  #take(): Buffer | undefined {
    const block = this.#blocks.shift();
    if (block === undefined) return undefined;
    const before = this.#bytes;
    this.#bytes -= block.used;
    if (before > HELD_BYTES && this.#bytes <= HELD_BYTES && this.#state === "open") this.#control.resume();
    return block.memory.subarray(0, block.used);
  }

  #wake(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted?.();
  }
}
