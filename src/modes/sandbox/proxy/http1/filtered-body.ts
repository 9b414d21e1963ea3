import type { ResponseFilter } from "../inspect/ruling.ts";
import type { Field } from "./fields.ts";

const NOTHING = Buffer.alloc(0);

/** The body of an HTTP/1 answer while a filter looks at it: framed anew, since its length may change. */
export class FilteredBody {
  readonly #filter: ResponseFilter;
  readonly #status: number;
  readonly #chunked: boolean;
  #finished = false;

  /** `chunked`: whether the client gets chunks; otherwise the end of the connection ends the body. */
  constructor(filter: ResponseFilter, status: number, chunked: boolean) {
    this.#filter = filter;
    this.#status = status;
    this.#chunked = chunked;
  }

  pass(chunk: Buffer): Buffer {
    return this.#framed(this.#filter.body?.(chunk, false) ?? chunk);
  }

  /** What the client gets at the end, once. */
  finish(trailers: readonly Field[]): Buffer {
    if (this.#finished) return NOTHING;
    this.#finished = true;
    const held = this.#framed(this.#filter.body?.(NOTHING, true) ?? NOTHING);
    if (!this.#chunked) return held;
    const fields = trailers.length === 0 ? [] : this.#filter.head(this.#status, trailers);
    const lines = fields.map(({ name, value }) => `${name}: ${value}\r\n`).join("");
    return Buffer.concat([held, Buffer.from(`0\r\n${lines}\r\n`, "latin1")]);
  }

  #framed(bytes: Buffer): Buffer {
    if (!this.#chunked || bytes.length === 0) return bytes;
    return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
  }
}
