/** Values pushed on one side, iterated on the other: the outgoing half of a streaming call. Ends with `close`. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;
  #drained: (() => void)[] = [];
  #closed = false;

  /** Number of values that nobody has taken yet. */
  get length(): number {
    return this.#values.length;
  }

  /** False when the queue is closed and the value was dropped. */
  push(value: T): boolean {
    if (this.#closed) return false;
    this.#values.push(value);
    this.#notify();
    return true;
  }

  /** Waits until fewer than `count` values are queued: backpressure for the side that pushes. */
  async below(count: number): Promise<void> {
    while (this.#values.length >= count && !this.#closed) await new Promise<void>((resolve) => this.#drained.push(resolve));
  }

  close(): void {
    this.#closed = true;
    this.#notify();
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
    if (this.#closed) this.#release();
  }

  #release(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const value = this.#values.shift();
      if (value !== undefined) {
        this.#release();
        yield value;
        continue;
      }
      if (this.#closed) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
