import type { Field } from "../proxy/http1/fields.ts";
import { Automaton } from "./automaton.ts";
import { spellingsOf } from "./needles.ts";

/** Stands for each byte of a secret: the length of an answer does not change, and `*` is valid in names and values of fields. */
export const STAR = 0x2a;
/** Fields that say where the answer ends; digits that look like a secret must stay. */
const FRAMING: ReadonlySet<string> = new Set(["content-length", "transfer-encoding"]);

/** Replaces secrets in what servers send, whatever their spelling (`spellingsOf`), by as many stars. */
export class Mask {
  readonly #automaton: Automaton;

  constructor(secrets: Iterable<string>) {
    this.#automaton = new Automaton([...secrets].flatMap(spellingsOf));
  }

  /** Header fields, also where a secret is spread over the values of several that follow each other. */
  fields(fields: readonly Field[]): readonly Field[] {
    const open = fields.filter(({ lower }) => !FRAMING.has(lower));
    const values = Buffer.from(open.map(({ value }) => value).join(""), "latin1");
    const names = open.map(({ name }) => this.text(name));
    const hidden = this.#hide(values);
    if (!hidden && open.every(({ name }, i) => name === names[i])) return fields;
    let at = 0;
    let i = 0;
    return fields.map((field) => {
      if (FRAMING.has(field.lower)) return field;
      const name = names[i++] ?? field.name;
      const value = values.toString("latin1", at, at + field.value.length);
      at += field.value.length;
      return { name, lower: name.toLowerCase(), value };
    });
  }

  /** One piece of text that is whole. */
  text(text: string): string {
    const bytes = Buffer.from(text, "latin1");
    return this.#hide(bytes) ? bytes.toString("latin1") : text;
  }

  /** A body that comes in pieces. */
  body(): BodyMask {
    return new BodyMask(this.#automaton);
  }

  /** Overwrites secrets in place; whether there was one. */
  #hide(bytes: Buffer): boolean {
    let hidden = false;
    let state = 0;
    for (let i = 0; i < bytes.length; i++) {
      state = this.#automaton.step(state, bytes[i] ?? 0);
      const length = this.#automaton.found(state);
      if (length > 0) {
        // Read already, so that overlapping words are still found.
        bytes.fill(STAR, i + 1 - length, i + 1);
        hidden = true;
      }
    }
    return hidden;
  }
}

/** Masks one body; holds back only bytes that may be the beginning of a secret, so that what streams keeps streaming. */
export class BodyMask {
  readonly #automaton: Automaton;
  #state = 0;
  #held: Buffer = Buffer.alloc(0);

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
  }

  /** What may go on, of this piece and those before. With `last` everything does. */
  take(chunk: Buffer, last: boolean): Buffer {
    const before = this.#held.length;
    // A copy in any case: the bytes are overwritten.
    const bytes = Buffer.concat([this.#held, chunk]);
    for (let i = before; i < bytes.length; i++) {
      this.#state = this.#automaton.step(this.#state, bytes[i] ?? 0);
      const length = this.#automaton.found(this.#state);
      // The beginning may have gone already, with the end of a frame.
      if (length > 0) bytes.fill(STAR, Math.max(0, i + 1 - length), i + 1);
    }
    const open = last ? 0 : Math.min(bytes.length, this.#automaton.depth(this.#state));
    this.#held = bytes.subarray(bytes.length - open);
    return bytes.subarray(0, bytes.length - open);
  }
}
