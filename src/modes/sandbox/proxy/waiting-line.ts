import { type Holder, Places } from "./places.ts";

/** Somebody who waits. */
export interface Waiting {
  readonly holder: Holder;
}

/** Connections that wait for a place. The next is the one of the program that has fewest; among equals, the one that has waited longest. */
export class WaitingLine<T extends Waiting> {
  readonly #places: Places;
  readonly #line: T[] = [];

  constructor(limit: number) {
    this.#places = new Places(limit);
  }

  get length(): number {
    return this.#line.length;
  }

  /** False: there is no room for it. */
  add(one: T): boolean {
    if (!this.#places.hasRoom(one.holder)) return false;
    this.#places.take(one.holder);
    this.#line.push(one);
    return true;
  }

  remove(one: T): void {
    const at = this.#line.indexOf(one);
    if (at < 0) return;
    this.#line.splice(at, 1);
    this.#places.release(one.holder);
  }

  /** Takes out the next of those that `may`; undefined: there is none. */
  next(may: (one: T) => boolean, places: Places): T | undefined {
    let best: T | undefined;
    for (const one of this.#line) if (may(one) && (best === undefined || places.compare(one.holder, best.holder) < 0)) best = one;
    if (best !== undefined) this.remove(best);
    return best;
  }

  clear(): void {
    for (const one of [...this.#line]) this.remove(one);
  }
}
