import { MAX_HEAD_BYTES, readFrameHead } from "./frame.ts";

const NO_BYTES = Buffer.alloc(0);

/** Follows the frames of a server as they pass, to know where one of ours may stand between them. */
export class ServerFrames {
  #head: Buffer = NO_BYTES;
  #left = 0;

  /** Between two frames. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#head.length === 0;
  }

  /** Bytes that are still missing of the present frame, as far as is known. */
  get missing(): number {
    return this.#left;
  }

  /** Goes on to the end of the bytes, or of the frame when `stopAtBoundary`; gives how many bytes that were. */
  take(bytes: Buffer, stopAtBoundary: boolean): number {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const size = Math.min(this.#left, bytes.length - at);
        this.#left -= size;
        at += size;
      } else {
        at += this.#readHead(bytes.subarray(at, at + MAX_HEAD_BYTES));
      }
      if (stopAtBoundary && this.atBoundary) break;
    }
    return at;
  }

  #readHead(bytes: Buffer): number {
    const had = this.#head.length;
    const start = had === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    const head = readFrameHead(start);
    if (head === undefined) {
      this.#head = Buffer.from(start);
      return bytes.length;
    }
    this.#head = NO_BYTES;
    this.#left = head.length;
    return head.size - had;
  }
}
