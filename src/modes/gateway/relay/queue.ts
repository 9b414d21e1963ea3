import { OpenShellError } from "../../../error.ts";

/**
 * A bounded queue between one writer and one reader. `push` never waits: a reader that falls `limit` items behind makes it throw
 * `resource_exhausted`, so that one stuck peer cannot hold the gateway's memory. `offer` waits for room instead.
 */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #limit: number;
  readonly #items: T[] = [];
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];
  #ended = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Adds an item; after the end it is dropped. */
  push(item: T): void {
    if (this.#ended) return;
    if (this.#items.length >= this.#limit) {
      throw new OpenShellError("resource_exhausted", `${this.#items.length} messages wait for the other side, at most ${this.#limit} may`);
    }
    this.#items.push(item);
    this.#wakeReader?.();
  }

  /** Adds an item when there is room; resolves to false when the queue has ended. */
  async offer(item: T): Promise<boolean> {
    while (!this.#ended && this.#items.length >= this.#limit) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
    if (this.#ended) return false;
    this.push(item);
    return true;
  }

  /** The reader gets what is queued, then the end. */
  end(): void {
    this.#ended = true;
    this.#wakeReader?.();
    this.#releaseWriters();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      while (true) {
        while (this.#items.length > 0) {
          const item = this.#items.shift() as T;
          this.#releaseWriters();
          yield item;
        }
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
        this.#wakeReader = undefined;
      }
    } finally {
      this.end();
    }
  }

  #releaseWriters(): void {
    const waiting = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const wake of waiting) wake();
  }
}
