import type { RequestBodyFilter } from "../inspect/ruling.ts";
import { BodyReader } from "./body.ts";
import type { BodyFraming } from "./framing.ts";

const NOTHING = Buffer.alloc(0);

/** The body of an HTTP/1 request on its way to the server: as it came, or as a filter changes it, framed as the head has said. */
export class PassedBody {
  readonly #reader: BodyReader;
  readonly #filter: RequestBodyFilter | undefined;
  readonly #chunked: boolean;

  constructor(framing: BodyFraming, filter: RequestBodyFilter | undefined) {
    this.#reader = new BodyReader(framing);
    this.#filter = filter;
    this.#chunked = framing.kind === "chunked";
  }

  /** The body is complete. */
  get done(): boolean {
    return this.#reader.done;
  }

  /** Why its framing is refused; nothing more may be forwarded once set. */
  get problem(): string | undefined {
    return this.#reader.problem;
  }

  /**
   * `size`: how many bytes at the start of `bytes` belong to the body. `passed`: what the server gets for them. Throws a `HeadError` when the
   * filter does.
   */
  take(bytes: Buffer): { readonly size: number; readonly passed: Buffer } {
    const filter = this.#filter;
    if (filter === undefined) {
      const size = this.#reader.take(bytes);
      return { size, passed: bytes.subarray(0, size) };
    }
    const pieces: Buffer[] = [];
    const size = this.#reader.take(bytes, (piece) => pieces.push(this.#framed(filter.body(piece, false))));
    if (this.#reader.done) {
      pieces.push(this.#framed(filter.body(NOTHING, true)));
      if (this.#chunked) pieces.push(Buffer.from(`0\r\n${this.#reader.trailer}\r\n`, "latin1"));
    }
    return { size, passed: Buffer.concat(pieces) };
  }

  /** Nobody wants the rest. */
  drop(): void {
    this.#filter?.drop();
  }

  #framed(bytes: Buffer): Buffer {
    if (!this.#chunked || bytes.length === 0) return bytes;
    return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
  }
}
