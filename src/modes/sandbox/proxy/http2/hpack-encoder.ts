import type { RawField } from "./hpack-decoder.ts";
import { STATIC_TABLE } from "./hpack-table.ts";
import { huffmanSize, huffmanWrite } from "./huffman.ts";

const whole = new Map<string, number>();
const names = new Map<string, number>();
for (const [index, [name, value]] of STATIC_TABLE.entries()) {
  if (value !== "") whole.set(`${name}\0${value}`, index + 1);
  if (!names.has(name)) names.set(name, index + 1);
}

/** Dynamic table size update to 0 (RFC 7541 section 6.3). */
const NO_TABLE = 0x20;
/** A literal that no hop may remember (section 6.2.3): credentials. */
const NEVER = 0x10;
const SECRET: ReadonlySet<string> = new Set(["authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"]);

/**
 * Writes header blocks. Uses the static table alone: nothing of one request can be seen in the size of another, and there is no state to
 * keep in step.
 */
export class HpackEncoder {
  #started = false;

  encode(fields: readonly RawField[]): Buffer {
    let room = 1;
    for (const [name, value] of fields) room += name.length + value.length + 16;
    const into = Buffer.allocUnsafe(room);
    let at = 0;
    // The first block says that there is no table, which is within whatever limit the peer sets.
    if (!this.#started) into[at++] = NO_TABLE;
    this.#started = true;
    for (const [name, value] of fields) at = writeField(into, at, name, value);
    return into.subarray(0, at);
  }
}

function writeField(into: Buffer, at: number, name: string, value: string): number {
  const index = whole.get(`${name}\0${value}`);
  if (index !== undefined) return writeInteger(into, at, 0x80, 7, index);
  const known = names.get(name) ?? 0;
  const next = writeInteger(into, at, SECRET.has(name) ? NEVER : 0, 4, known);
  return writeString(into, known === 0 ? writeString(into, next, name) : next, value);
}

function writeString(into: Buffer, at: number, text: string): number {
  const size = huffmanSize(text);
  if (size < text.length) return huffmanWrite(text, into, writeInteger(into, at, 0x80, 7, size));
  const start = writeInteger(into, at, 0, 7, text.length);
  return start + into.write(text, start, "latin1");
}

function writeInteger(into: Buffer, start: number, flags: number, prefix: number, value: number): number {
  const mask = (1 << prefix) - 1;
  let at = start;
  if (value < mask) {
    into[at++] = flags | value;
    return at;
  }
  into[at++] = flags | mask;
  let left = value - mask;
  for (; left >= 0x80; left >>>= 7) into[at++] = (left & 0x7f) | 0x80;
  into[at++] = left;
  return at;
}
