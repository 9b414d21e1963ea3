interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/**
 * The end of something that lives long, raced with many short waits. `Promise.race` would leave a reaction on the long-lived promise for each
 * of them, and with it every value that a stream has carried.
 */
export class Ending<T> {
  readonly #waiters = new Set<Waiter<T>>();
  readonly #ended: Promise<T>;
  #over = false;

  constructor(ended: Promise<T>) {
    this.#ended = ended;
    const tell = (say: (waiter: Waiter<T>) => void): void => {
      this.#over = true;
      for (const waiter of this.#waiters) say(waiter);
      this.#waiters.clear();
    };
    ended.then(
      (value) => tell((waiter) => waiter.resolve(value)),
      (reason: unknown) => tell((waiter) => waiter.reject(reason)),
    );
  }

  /** It has ended. */
  get over(): boolean {
    return this.#over;
  }

  /** Settles like whichever settles first. */
  race<U>(promise: PromiseLike<U>): Promise<T | U> {
    // Over: nothing is kept any more.
    if (this.#over) return Promise.race([promise, this.#ended]);
    return new Promise((resolve, reject) => {
      const waiter: Waiter<T> = { resolve, reject };
      this.#waiters.add(waiter);
      promise.then(
        (value) => {
          this.#waiters.delete(waiter);
          resolve(value);
        },
        (reason: unknown) => {
          this.#waiters.delete(waiter);
          reject(reason);
        },
      );
    });
  }
}
