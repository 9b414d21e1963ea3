import { ByteBudget } from "../byte-budget.ts";
import { GrowingBuffer } from "../growing-buffer.ts";
import type { Refusal } from "../http1/refused.ts";

/** Bodies that are being collected, of all connections of a sandbox: a thousand of the usual limit of 65,536 bytes. */
export const MAX_BODIES_UNDER_WAY_BYTES = 67_108_864;

const underWay = new ByteBudget(MAX_BODIES_UNDER_WAY_BYTES);

/** The refusal of a body for which there is no memory now. */
export const NO_ROOM_FOR_BODY: Refusal = {
  status: 503,
  code: "bodies_under_way",
  reason: `the request bodies under way in this sandbox fill the ${MAX_BODIES_UNDER_WAY_BYTES} bytes that they may`,
};

/** The body of one request as it comes, up to a limit. */
export class CollectedBody {
  readonly #limit: number;
  readonly #bytes: GrowingBuffer;
  /** `exceeded`: longer than the limit. `no room`: too much is under way in the sandbox. */
  state: "fits" | "exceeded" | "no room" = "fits";

  constructor(limit: number, budget: ByteBudget = underWay) {
    this.#limit = limit;
    this.#bytes = new GrowingBuffer(limit, budget);
  }

  get empty(): boolean {
    return this.#bytes.length === 0;
  }

  push(piece: Buffer): void {
    if (this.state !== "fits") return;
    if (this.#bytes.length + piece.length > this.#limit) this.state = "exceeded";
    else if (this.#bytes.append(piece) === undefined) this.state = "no room";
    if (this.state !== "fits") this.drop();
  }

  /** All of it, which is no longer kept here. */
  take(): Buffer {
    const body = this.#bytes.bytes();
    this.#bytes.drop();
    return body;
  }

  drop(): void {
    this.#bytes.drop();
  }
}
