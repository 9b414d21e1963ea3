import type { ByteSource } from "../relay.ts";

/** Slows a source for more than one reason; it flows while there is none. */
export class Valve implements ByteSource {
  readonly #source: () => ByteSource | undefined;
  #congested = false;
  #held = false;

  constructor(source: () => ByteSource | undefined) {
    this.#source = source;
  }

  /** What was read cannot be passed on yet. */
  pause(): void {
    this.#congested = true;
    this.#source()?.pause();
  }

  resume(): void {
    this.#congested = false;
    this.#open();
  }

  /** More must not be read for another reason. */
  hold(): void {
    this.#held = true;
    this.#source()?.pause();
  }

  release(): void {
    this.#held = false;
    this.#open();
  }

  #open(): void {
    if (!this.#congested && !this.#held) this.#source()?.resume();
  }
}
