import { holdBytes } from "../held-bytes.ts";

/** Pieces below this size are put together, so that a million tiny frames are not a million objects. */
const BLOCK_BYTES = 16_384;

/** Bytes that wait to be sent on, in order. */
export class ByteQueue {
  #pieces: Buffer[] = [];
  /** Bytes of the first piece that have been taken. */
  #taken = 0;
  /** Room behind the last piece, when that is a block of ours. */
  #room: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    holdBytes(bytes.length);
    // A small part of what was received at once would keep all of it in memory.
    if (bytes.length >= BLOCK_BYTES / 4 && bytes.length * 4 >= bytes.buffer.byteLength) {
      this.#pieces.push(bytes);
      this.#room = undefined;
      return;
    }
    for (let at = 0; at < bytes.length; ) at += this.#append(bytes.subarray(at));
  }

  #append(bytes: Buffer): number {
    if (this.#room === undefined || this.#room.length === 0) {
      this.#room = Buffer.alloc(BLOCK_BYTES);
      this.#pieces.push(this.#room.subarray(0, 0));
    }
    const size = bytes.copy(this.#room);
    const last = this.#pieces.length - 1;
    const block = this.#pieces[last];
    if (block !== undefined) this.#pieces[last] = Buffer.from(block.buffer, block.byteOffset, block.length + size);
    this.#room = this.#room.subarray(size);
    return size;
  }

  /** At most `limit` bytes from the front; never more than one piece. */
  take(limit: number): Buffer {
    const first = this.#pieces[0];
    if (first === undefined) return EMPTY;
    const bytes = first.subarray(this.#taken, this.#taken + limit);
    this.#taken += bytes.length;
    this.#length -= bytes.length;
    holdBytes(-bytes.length);
    if (this.#taken === first.length) {
      this.#pieces.shift();
      this.#taken = 0;
      if (this.#pieces.length === 0) this.#room = undefined;
    }
    return bytes;
  }

  clear(): void {
    holdBytes(-this.#length);
    this.#pieces = [];
    this.#taken = 0;
    this.#room = undefined;
    this.#length = 0;
  }
}

const EMPTY = Buffer.alloc(0);
