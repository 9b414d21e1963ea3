import type { ProgramIdentity } from "./contract.ts";

/**
 * Which program called connect(2) on which socket, shared between the Worker that writes and the main thread that reads. A ring: the
 * oldest record goes first, and a connection without a record is denied.
 */

/** At most 2,048 connections are open at once; each is looked up right after it was made. */
const SLOTS = 2048;
/** A path may have 4,096 bytes, but real ones with their ancestors take a few hundred; longer records become `unknown`. */
const SLOT_BYTES = 4096;
/** Per slot: sequence (odd while it is written), length of the record, cookie and number of the record's text, each in two halves. */
const WORDS = 6;
const SEQUENCE = 0;
const LENGTH = 1;
const COOKIE_LOW = 2;
const COOKIE_HIGH = 3;
const NUMBER_LOW = 4;
const NUMBER_HIGH = 5;
const WORD = 2 ** 32;
/** Records that the reading side keeps as objects: most connections are made by few programs. */
const MAX_PARSED = 64;

export type ConnectRecord =
  | { readonly kind: "program"; readonly program: ProgramIdentity }
  /** Two different programs called connect(2) on it. */
  | { readonly kind: "ambiguous" }
  | { readonly kind: "unknown"; readonly reason: string };

/** Memory for one table. */
export function allocateTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 + SLOTS * (WORDS * 4 + SLOT_BYTES));
}

class Layout {
  /** [0]: number of records ever written. */
  readonly cursor: Int32Array;
  readonly words: Int32Array;
  readonly data: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.cursor = new Int32Array(memory, 0, 1);
    this.words = new Int32Array(memory, 4, SLOTS * WORDS);
    this.data = new Uint8Array(memory, 4 + SLOTS * WORDS * 4);
  }
}

/** The writing side; there is one. */
export class IdentityWriter {
  readonly #layout: Layout;
  readonly #slots = new Map<bigint, { readonly slot: number; readonly record: ConnectRecord }>();
  readonly #cookies: (bigint | undefined)[] = Array.from({ length: SLOTS });
  /** Texts of records; one that is stored again need not be written out again. */
  readonly #texts = new WeakMap<ConnectRecord, { readonly number: number; readonly text: Uint8Array }>();
  #written = 0;
  #lastNumber = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#layout = new Layout(memory);
  }

  get(cookie: bigint): ConnectRecord | undefined {
    return this.#slots.get(cookie)?.record;
  }

  /** Adds a record, or replaces the one of the same socket. A record is never changed afterwards. */
  put(cookie: bigint, record: ConnectRecord): void {
    const { number, text } = this.#textOf(record);
    if (text.length > SLOT_BYTES) {
      this.put(cookie, { kind: "unknown", reason: `the record of the program has ${text.length} bytes, at most ${SLOT_BYTES} are kept` });
      return;
    }
    const slot = this.#slots.get(cookie)?.slot ?? this.#nextSlot(cookie);
    this.#slots.set(cookie, { slot, record });
    const { words, data } = this.#layout;
    const base = slot * WORDS;
    Atomics.add(words, base + SEQUENCE, 1);
    Atomics.store(words, base + COOKIE_LOW, Number(BigInt.asIntN(32, cookie)));
    Atomics.store(words, base + COOKIE_HIGH, Number(BigInt.asIntN(32, cookie >> 32n)));
    Atomics.store(words, base + NUMBER_LOW, number | 0);
    Atomics.store(words, base + NUMBER_HIGH, Math.floor(number / WORD));
    Atomics.store(words, base + LENGTH, text.length);
    data.set(text, slot * SLOT_BYTES);
    Atomics.add(words, base + SEQUENCE, 1);
  }

  #textOf(record: ConnectRecord): { readonly number: number; readonly text: Uint8Array } {
    const known = this.#texts.get(record);
    if (known !== undefined) return known;
    this.#lastNumber += 1;
    const made = { number: this.#lastNumber, text: Buffer.from(JSON.stringify(record)) };
    this.#texts.set(record, made);
    return made;
  }

  #nextSlot(cookie: bigint): number {
    const slot = this.#written % SLOTS;
    const evicted = this.#cookies[slot];
    if (evicted !== undefined) this.#slots.delete(evicted);
    this.#cookies[slot] = cookie;
    this.#written += 1;
    Atomics.store(this.#layout.cursor, 0, this.#written % SLOTS);
    return slot;
  }
}

/** The reading side. */
export class IdentityReader {
  readonly #layout: Layout;
  readonly #parsed = new Map<number, ConnectRecord>();

  constructor(memory: SharedArrayBuffer) {
    this.#layout = new Layout(memory);
  }

  /** The record of a socket, newest slots first; undefined when there is none. */
  find(cookie: bigint): ConnectRecord | undefined {
    const low = Number(BigInt.asIntN(32, cookie));
    const high = Number(BigInt.asIntN(32, cookie >> 32n));
    const newest = Atomics.load(this.#layout.cursor, 0) + SLOTS - 1;
    for (let step = 0; step < SLOTS; step += 1) {
      const slot = (newest - step) % SLOTS;
      const base = slot * WORDS;
      const { words } = this.#layout;
      if (words[base + COOKIE_LOW] === low && words[base + COOKIE_HIGH] === high) {
        const record = this.#read(slot, low, high);
        if (record !== undefined) return record;
      }
    }
    return undefined;
  }

  /** A record written meanwhile is read again; one that now belongs to another socket is none. */
  #read(slot: number, low: number, high: number): ConnectRecord | undefined {
    const { words, data } = this.#layout;
    const base = slot * WORDS;
    for (;;) {
      const before = Atomics.load(words, base + SEQUENCE);
      if (before % 2 !== 0) continue;
      const same = Atomics.load(words, base + COOKIE_LOW) === low && Atomics.load(words, base + COOKIE_HIGH) === high;
      const number = (Atomics.load(words, base + NUMBER_LOW) >>> 0) + Atomics.load(words, base + NUMBER_HIGH) * WORD;
      const known = this.#parsed.get(number);
      const start = slot * SLOT_BYTES;
      const text = known === undefined ? Buffer.from(data.slice(start, start + Atomics.load(words, base + LENGTH))) : undefined;
      if (Atomics.load(words, base + SEQUENCE) !== before) continue;
      if (!same) return undefined;
      return known ?? this.#parse(number, text);
    }
  }

  #parse(number: number, text: Buffer | undefined): ConnectRecord | undefined {
    if (text === undefined || text.length === 0) return undefined;
    const record = JSON.parse(text.toString()) as ConnectRecord;
    if (this.#parsed.size >= MAX_PARSED) this.#parsed.clear();
    this.#parsed.set(number, record);
    return record;
  }
}
