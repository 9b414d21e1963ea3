/** Hands items from several producers to one consumer; a producer waits until its item is taken. */
export class InputQueue<T> implements AsyncIterable<T> {
  readonly #waiting: { readonly item: T; readonly taken: () => void }[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  /** Resolves when the item was taken or the queue is closed. */
  push(item: T): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((taken) => {
      this.#waiting.push({ item, taken });
      this.#wake?.();
    });
  }

  /** Ends the iteration after the items that wait. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        next.taken();
        yield next.item;
        continue;
      }
      if (this.#closed) return;
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }
}
