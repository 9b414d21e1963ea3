import type { ByteBudget } from "../byte-budget.ts";

/** Bytes of one query text that are read; longer ones pass and are told of as such. Statements that people and libraries write have kilobytes. */
export const MAX_QUERY_BYTES = 1_048_576;

const NO_BYTES = Buffer.alloc(0);
const FIRST_CAPACITY = 1024;
/** Type and length in front of a message; the length counts itself. */
const HEAD_BYTES = 5;
const LENGTH_BYTES = 4;

const QUERY = 0x51; // Q
const PARSE = 0x50; // P
const FUNCTION_CALL = 0x46; // F

/** Hears what a client asks a PostgreSQL server for. */
export interface QueryListener {
  /** The text of a simple query, or of one that is prepared. */
  query(text: string): void;
  /** The server's functions called past the language (message F). */
  functionCall(): void;
  /** A text of so many bytes that is not read. */
  unread(bytes: number): void;
}

/**
 * Follows the messages of a PostgreSQL client from its startup message on (protocol 3) and tells of query texts. Bytes may come cut in any way;
 * everything but query texts is stepped over.
 */
export class PostgresClientMessages {
  readonly #listener: QueryListener;
  readonly #budget: ByteBudget;
  #head: Buffer = NO_BYTES;
  /** The startup message has no type. */
  #startup = true;
  #type = 0;
  #left = 0;
  #size = 0;
  #text: Buffer | undefined;
  #taken = 0;

  constructor(listener: QueryListener, budget: ByteBudget) {
    this.#listener = listener;
    this.#budget = budget;
  }

  /** False: the bytes are no PostgreSQL messages, and nothing more can be said. */
  take(bytes: Buffer): boolean {
    let left = bytes;
    while (left.length > 0) {
      if (this.#left === 0) {
        const rest = this.#readHead(left);
        if (rest === undefined) return false;
        left = rest;
      } else {
        const piece = left.subarray(0, this.#left);
        this.#keep(piece);
        this.#left -= piece.length;
        left = left.subarray(piece.length);
      }
      if (this.#left === 0 && this.#head.length === 0) this.#finish();
    }
    return true;
  }

  /** Gives back the memory of an unfinished text. */
  drop(): void {
    this.#budget.release(this.#text?.length ?? 0);
    this.#text = undefined;
    this.#taken = 0;
  }

  #readHead(bytes: Buffer): Buffer | undefined {
    const size = this.#startup ? LENGTH_BYTES : HEAD_BYTES;
    const had = this.#head.length;
    const head = Buffer.concat([this.#head, bytes.subarray(0, size - had)]);
    const rest = bytes.subarray(head.length - had);
    if (head.length < size) {
      this.#head = head;
      return rest;
    }
    this.#head = NO_BYTES;
    const length = head.readUInt32BE(size - LENGTH_BYTES);
    if (length < LENGTH_BYTES) return undefined;
    this.#type = this.#startup ? 0 : (head[0] ?? 0);
    this.#startup = false;
    this.#left = length - LENGTH_BYTES;
    this.#size = this.#left;
    if ((this.#type === QUERY || this.#type === PARSE) && this.#size <= MAX_QUERY_BYTES) this.#text = NO_BYTES;
    return rest;
  }

  /** Memory is taken as bytes arrive, not as they are announced. */
  #keep(piece: Buffer): void {
    if (this.#text === undefined) return;
    const wanted = this.#taken + piece.length;
    if (wanted > this.#text.length) {
      const capacity = Math.min(MAX_QUERY_BYTES, Math.max(wanted, this.#text.length * 2, FIRST_CAPACITY));
      if (!this.#budget.take(capacity - this.#text.length)) {
        this.drop();
        return;
      }
      const wider = Buffer.alloc(capacity);
      this.#text.copy(wider, 0, 0, this.#taken);
      this.#text = wider;
    }
    piece.copy(this.#text, this.#taken);
    this.#taken = wanted;
  }

  #finish(): void {
    const type = this.#type;
    this.#type = 0;
    if (type === FUNCTION_CALL) this.#listener.functionCall();
    if (type !== QUERY && type !== PARSE) return;
    // Latin-1: words of the language are ASCII in every client encoding, and no byte of another character is a quote or a semicolon.
    const text = this.#text?.toString("latin1", 0, this.#taken);
    this.drop();
    if (text === undefined) {
      this.#listener.unread(this.#size);
      return;
    }
    const [first = "", second = ""] = text.split("\0");
    this.#listener.query(type === QUERY ? first : second);
  }
}
