import { isDeepStrictEqual } from "node:util";
import type { Box, BoxSpec } from "./contract.ts";
import { Ground } from "./ground.ts";
import { openBox } from "./open.ts";

/**
 * A box that is opened before it is certain what it must be like, since that takes as long as to learn it. Nothing runs in it until somebody
 * takes it, and who takes it gets what they ask for: one that was opened for something else is ended, and another takes its place.
 */
export class EarlyBox implements AsyncDisposable {
  readonly #spec: BoxSpec;
  readonly #opening: Promise<Box>;

  /** Takes over the ground. */
  constructor(spec: BoxSpec, ground: Ground) {
    this.#spec = spec;
    this.#opening = openBox(spec, ground);
    // Whoever takes it gets the failure.
    this.#opening.catch(() => {});
  }

  /** The box of this specification; to be called once. Throws what `openBox` throws. */
  async take(spec: BoxSpec): Promise<Box> {
    if (isDeepStrictEqual(spec, this.#spec)) return this.#opening;
    await this[Symbol.asyncDispose]();
    return openBox(spec, new Ground(spec.limits?.groups));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opening.then(
      (box) => box[Symbol.asyncDispose](),
      () => {},
    );
  }
}
