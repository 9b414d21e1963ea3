/** In `#byte`: the state has no further branch than those in `#branches`. */
const NONE = 256;

/**
 * Finds any of many words in bytes that come in pieces, each byte looked at once (Aho and Corasick, 1975). What is not yet decided at the end
 * of a piece is exactly the longest beginning of a word that the bytes end with, so no more than that has ever to be held back.
 *
 * Most states have one branch, kept in two arrays; the few with more keep theirs in a map, and the first state has a table. So a word costs
 * some twenty bytes for each of its own, also a key file of several KiB.
 */
export class Automaton {
  readonly #root = new Uint32Array(256);
  /** The byte of the branch of a state, and where it leads. */
  readonly #byte: Uint16Array;
  readonly #child: Uint32Array;
  /** Further branches by `state * 256 + byte`. */
  readonly #branches = new Map<number, number>();
  /** Where to go on when no branch fits: the longest ending of what was read that is a beginning as well. */
  readonly #fallback: Uint32Array;
  /** Length of the longest word that ends in a state, or 0. */
  readonly #found: Uint32Array;
  /** Length of the text that a state stands for. */
  readonly #depth: Uint32Array;

  constructor(words: readonly string[]) {
    const bytes = words.map((word) => Buffer.from(word, "latin1"));
    const states = 1 + bytes.reduce((sum, word) => sum + word.length, 0);
    this.#byte = new Uint16Array(states).fill(NONE);
    this.#child = new Uint32Array(states);
    this.#fallback = new Uint32Array(states);
    this.#found = new Uint32Array(states);
    this.#depth = new Uint32Array(states);
    this.#link(this.#plant(bytes));
  }

  /** The words as a tree: its edges, `[from, byte, to]`. */
  #plant(words: readonly Buffer[]): (readonly [number, number, number])[] {
    const edges: (readonly [number, number, number])[] = [];
    for (const word of words) {
      let state = 0;
      for (const byte of word) {
        let next = this.#branch(state, byte);
        if (next === 0) {
          next = edges.length + 1;
          this.#depth[next] = at(this.#depth, state) + 1;
          this.#grow(state, byte, next);
          edges.push([state, byte, next]);
        }
        state = next;
      }
      if (state !== 0) this.#found[state] = word.length;
    }
    return edges;
  }

  #grow(state: number, byte: number, next: number): void {
    if (state === 0) {
      this.#root[byte] = next;
    } else if (at(this.#byte, state) === NONE) {
      this.#byte[state] = byte;
      this.#child[state] = next;
    } else {
      this.#branches.set(state * 256 + byte, next);
    }
  }

  /** Shorter texts first, since each refers to shorter ones. */
  #link(edges: readonly (readonly [number, number, number])[]): void {
    for (const [from, byte, to] of edges.toSorted(([, , a], [, , b]) => at(this.#depth, a) - at(this.#depth, b))) {
      this.#fallback[to] = from === 0 ? 0 : this.step(at(this.#fallback, from), byte);
      if (at(this.#found, to) === 0) this.#found[to] = at(this.#found, at(this.#fallback, to));
    }
  }

  /** 0: none. */
  #branch(state: number, byte: number): number {
    if (state === 0) return at(this.#root, byte);
    if (at(this.#byte, state) === byte) return at(this.#child, state);
    return this.#branches.size === 0 ? 0 : (this.#branches.get(state * 256 + byte) ?? 0);
  }

  /** The state after one more byte; 0 is the first. */
  step(state: number, byte: number): number {
    for (let from = state; ; from = at(this.#fallback, from)) {
      const next = this.#branch(from, byte);
      if (next !== 0 || from === 0) return next;
    }
  }

  /** Bytes of the longest word that ends here; 0: none does. */
  found(state: number): number {
    return at(this.#found, state);
  }

  /** Bytes before this point that may be the beginning of a word. */
  depth(state: number): number {
    return at(this.#depth, state);
  }
}

/** Indices come from the tables themselves. */
function at(table: Uint16Array | Uint32Array, index: number): number {
  return table[index] ?? 0;
}
