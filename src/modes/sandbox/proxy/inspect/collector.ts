import { BodyReader } from "../http1/body.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { CollectedBody } from "./collected-body.ts";
import type { Collect } from "./ruling.ts";

/** Keeps the whole body of one HTTP/1 request, up to a limit, because the decision depends on it. */
export class Collector {
  readonly request: OriginRequest;
  readonly collect: Collect;
  readonly #reader: BodyReader;
  readonly #body: CollectedBody;
  #invited = false;

  constructor(request: OriginRequest, collect: Collect) {
    this.request = request;
    this.collect = collect;
    this.#reader = new BodyReader(request.body);
    this.#body = new CollectedBody(collect.limit);
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
    return this.#body.state === "exceeded" || (body.kind === "length" && body.length > this.collect.limit);
  }

  /** Too much is under way elsewhere. */
  get noRoom(): boolean {
    return this.#body.state === "no room";
  }

  /** Gives what is behind the body. */
  take(bytes: Buffer): Buffer | undefined {
    const size = this.#reader.take(bytes, (chunk) => this.#body.push(chunk));
    return size < bytes.length ? bytes.subarray(size) : undefined;
  }

  body(): Buffer {
    return this.#body.take();
  }

  /** Nobody wants it any more. */
  drop(): void {
    this.#body.drop();
  }

  /** Whether the client waits for `100 Continue`; true once. */
  inviteBody(): boolean {
    const { version, fields } = this.request;
    const waits = !this.#invited && this.#body.empty && version !== "1.0" && fields.some(({ lower }) => lower === "expect");
    this.#invited = true;
    return waits;
  }
}
