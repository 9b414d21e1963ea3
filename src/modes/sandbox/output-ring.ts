export type OutputStream = "stdout" | "stderr";

export interface OutputPiece {
  readonly stream: OutputStream;
  readonly piece: Uint8Array;
}

/** The last bytes of an output, in the order in which they came. */
export class OutputRing {
  readonly #limit: number;
  #pieces: OutputPiece[] = [];
  #size = 0;

  /** `limit`: bytes that are kept. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(stream: OutputStream, bytes: Uint8Array): void {
    // A copy: who reads a pipe may use its buffer again.
    const piece = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.#limit)));
    this.#pieces.push({ stream, piece });
    this.#size += piece.length;
    let first = 0;
    for (let over = this.#size - this.#limit; over > 0; ) {
      const oldest = this.#pieces[first];
      if (oldest === undefined) break;
      const cut = Math.min(over, oldest.piece.length);
      over -= cut;
      this.#size -= cut;
      if (cut === oldest.piece.length) first += 1;
      else this.#pieces[first] = { stream: oldest.stream, piece: oldest.piece.subarray(cut) };
    }
    if (first > 0) this.#pieces = this.#pieces.slice(first);
  }

  pieces(): readonly OutputPiece[] {
    return this.#pieces;
  }
}
