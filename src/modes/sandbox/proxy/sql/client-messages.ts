import type { ByteBudget } from "../byte-budget.ts";
import { GrowingBuffer } from "../growing-buffer.ts";

/** Bytes of one query text that are read; longer ones pass and are told of as such. Statements that people and libraries write have kilobytes. */
export const MAX_QUERY_BYTES = 1_048_576;

const NO_BYTES = Buffer.alloc(0);
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
  /** Nothing more is wanted now. */
  readonly full?: boolean;
}

/**
 * Follows the messages of a PostgreSQL client from its startup message on (protocol 3) and tells of query texts. Bytes may come cut in any way;
 * everything but query texts is stepped over.
 */
export class PostgresClientMessages {
  readonly #listener: QueryListener;
  #head: Buffer = NO_BYTES;
  /** The startup message has no type. */
  #startup = true;
  #type = 0;
  #left = 0;
  #size = 0;
  readonly #text: GrowingBuffer;
  /** The message under way is read. */
  #reads = false;

  constructor(listener: QueryListener, budget: ByteBudget) {
    this.#listener = listener;
    this.#text = new GrowingBuffer(MAX_QUERY_BYTES, budget);
  }

  /** Gives what has not been read, because the listener is full; undefined: the bytes are no PostgreSQL messages, and nothing more can be said. */
  take(bytes: Buffer): Buffer | undefined {
    let left = bytes;
    while (left.length > 0 && this.#listener.full !== true) {
      if (this.#left === 0) {
        const rest = this.#readHead(left);
        if (rest === undefined) return undefined;
        left = rest;
      } else {
        const piece = left.subarray(0, this.#left);
        this.#keep(piece);
        this.#left -= piece.length;
        left = left.subarray(piece.length);
      }
      if (this.#left === 0 && this.#head.length === 0) this.#finish();
    }
    return left;
  }

  /** Gives back the memory of an unfinished text. */
  drop(): void {
    this.#text.drop();
    this.#reads = false;
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
    this.#reads = (this.#type === QUERY || this.#type === PARSE) && this.#size <= MAX_QUERY_BYTES;
    return rest;
  }

  #keep(piece: Buffer): void {
    if (this.#reads && this.#text.append(piece) === undefined) this.drop();
  }

  #finish(): void {
    const type = this.#type;
    this.#type = 0;
    if (type === FUNCTION_CALL) this.#listener.functionCall();
    if (type !== QUERY && type !== PARSE) return;
    // Latin-1: words of the language are ASCII in every client encoding, and no byte of another character is a quote or a semicolon.
    const text = this.#reads ? this.#text.bytes().toString("latin1") : undefined;
    this.drop();
    if (text === undefined) {
      this.#listener.unread(this.#size);
      return;
    }
    const [first = "", second = ""] = text.split("\0");
    this.#listener.query(type === QUERY ? first : second);
  }
}
