import { BodyReader } from "./http1/body.ts";
import type { ForwardHead } from "./http1/head.ts";
import { originFormHead } from "./http1/origin-form.ts";
import { ResponseHead } from "./http1/response-head.ts";

const NOTHING = Buffer.alloc(0);

/** One forwarded request and its answer; whatever the client sends behind the request goes nowhere. */
export class Exchange {
  readonly requestHead: Buffer;
  readonly #body: BodyReader;
  readonly #response = new ResponseHead();
  #answered = false;

  constructor(request: ForwardHead) {
    this.requestHead = originFormHead(request);
    this.#body = new BodyReader(request.body);
  }

  /** The head of the final answer has passed; the rest of it needs no attention. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Why the answer is refused. */
  get problem(): string | undefined {
    return this.#response.problem;
  }

  /** The bytes that belong to the request; undefined when its framing is wrong. */
  body(bytes: Buffer): Buffer | undefined {
    if (this.#body.done) return NOTHING;
    const size = this.#body.take(bytes);
    return this.#body.problem === undefined ? bytes.subarray(0, size) : undefined;
  }

  /** The bytes of the answer that the client gets now. */
  answer(bytes: Buffer): Buffer | undefined {
    const result = this.#response.take(bytes);
    if (result?.done) this.#answered = true;
    return result?.output;
  }
}
