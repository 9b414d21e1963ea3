import { BodyReader } from "../http1/body.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import type { Collect } from "./ruling.ts";

/** Keeps the whole body of one HTTP/1 request, up to a limit, because the decision depends on it. */
export class Collector {
  readonly request: OriginRequest;
  readonly collect: Collect;
  readonly #reader: BodyReader;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #invited = false;

  constructor(request: OriginRequest, collect: Collect) {
    this.request = request;
    this.collect = collect;
    this.#reader = new BodyReader(request.body);
  }

  get done(): boolean {
    return this.#reader.done;
  }

  get problem(): string | undefined {
    return this.#reader.problem;
  }

  /** Known from the announced length already, or when too much has come. */
  get exceeded(): boolean {
    const { body } = this.request;
    return this.#size > this.collect.limit || (body.kind === "length" && body.length > this.collect.limit);
  }

  /** Gives what is behind the body. */
  take(bytes: Buffer): Buffer | undefined {
    const size = this.#reader.take(bytes, (chunk) => {
      this.#size += chunk.length;
      if (this.#size <= this.collect.limit) this.#chunks.push(chunk);
    });
    return size < bytes.length ? bytes.subarray(size) : undefined;
  }

  body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Whether the client waits for `100 Continue`; true once. */
  inviteBody(): boolean {
    const { version, fields } = this.request;
    const waits = !this.#invited && this.#size === 0 && version !== "1.0" && fields.some(({ lower }) => lower === "expect");
    this.#invited = true;
    return waits;
  }
}
