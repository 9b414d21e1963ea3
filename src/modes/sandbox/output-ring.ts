export type OutputStream = "stdout" | "stderr";

export interface OutputPiece {
  readonly stream: OutputStream;
  readonly piece: Uint8Array;
}

/** Small pieces of one stream are joined up to this: a program that writes byte by byte must not cost an object for each. Bytes. */
const JOINED_BYTES = 4096;

/** Pieces that are kept at most, for a program that changes its stream with every byte. */
const MAX_PIECES = 4096;

interface Block {
  readonly stream: OutputStream;
  buffer: Buffer;
  /** What is kept is from here… */
  from: number;
  /** …to here; behind it is room. */
  to: number;
}

/** The last bytes of an output, in the order in which they came. */
export class OutputRing {
  readonly #limit: number;
  #blocks: Block[] = [];
  /** Blocks before this one are gone. */
  #first = 0;
  #size = 0;

  /** `limit`: bytes that are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(stream: OutputStream, bytes: Uint8Array): void {
    // Copied in every case: who reads a pipe may use its buffer again.
    const piece = bytes.subarray(Math.max(0, bytes.length - this.#limit));
    const last = this.#blocks.at(-1);
    if (last?.stream === stream && last.to + piece.length <= JOINED_BYTES) append(last, piece);
    else this.#blocks.push({ stream, buffer: Buffer.from(piece), from: 0, to: piece.length });
    this.#size += piece.length;
    this.#trim();
  }

  pieces(): readonly OutputPiece[] {
    return this.#blocks.slice(this.#first).map(({ stream, buffer, from, to }) => ({ stream, piece: buffer.subarray(from, to) }));
  }

  #trim(): void {
    while (this.#size > this.#limit || this.#blocks.length - this.#first > MAX_PIECES) {
      const oldest = this.#blocks[this.#first];
      if (oldest === undefined) break;
      const kept = oldest.to - oldest.from;
      const cut = this.#blocks.length - this.#first > MAX_PIECES ? kept : Math.min(this.#size - this.#limit, kept);
      oldest.from += cut;
      this.#size -= cut;
      if (cut === kept) this.#first += 1;
    }
    // Now and then, so that a push does not move all of them.
    if (this.#first < MAX_PIECES && this.#first < this.#blocks.length) return;
    this.#blocks = this.#blocks.slice(this.#first);
    this.#first = 0;
  }
}

function append(block: Block, piece: Uint8Array): void {
  if (block.to + piece.length > block.buffer.length) {
    const larger = Buffer.alloc(Math.min(JOINED_BYTES, Math.max(2 * block.buffer.length, block.to + piece.length)));
    larger.set(block.buffer.subarray(0, block.to));
    block.buffer = larger;
  }
  block.buffer.set(piece, block.to);
  block.to += piece.length;
}
