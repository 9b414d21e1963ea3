/** Just enough of DER (ITU-T X.690) to write a certificate; every function gives one encoded value. */

const LONG_FORM = 0x80;

/** Tag, length and contents. */
export function value(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  if (body.length < LONG_FORM) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const hex = body.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.of(tag, LONG_FORM | length.length), length, body]);
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => value(0x30, ...items);
export const set = (...items: readonly Uint8Array[]): Buffer => value(0x31, ...items);
export const octets = (bytes: Uint8Array): Buffer => value(0x04, bytes);
export const text = (characters: string): Buffer => value(0x0c, Buffer.from(characters));
export const TRUE: Buffer = value(0x01, Buffer.of(0xff));

/** Context-specific and constructed: `[number]` round whole values. */
export const tagged = (number: number, ...items: readonly Uint8Array[]): Buffer => value(0xa0 | number, ...items);
/** Context-specific and primitive: `[number]` in place of the value's own tag. */
export const implicit = (number: number, bytes: Uint8Array): Buffer => value(0x80 | number, bytes);

/** Not negative: a leading zero keeps the first bit clear. */
export function integer(bytes: Uint8Array): Buffer {
  return value(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}

/** `unused`: bits of the last byte that do not count. */
export function bits(bytes: Uint8Array, unused = 0): Buffer {
  return value(0x03, Buffer.of(unused), bytes);
}

/** Dotted object identifier, `2.5.4.3`. */
export function identifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return value(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(number: number): number[] {
  const bytes = [number & 0x7f];
  for (let left = number >>> 7; left > 0; left >>>= 7) bytes.unshift(0x80 | (left & 0x7f));
  return bytes;
}

/** To the second; RFC 5280 section 4.1.2.5 wants two-digit years until 2049. */
export function time(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/[-:T]|\.\d+/g, "");
  return digits < "2050" ? value(0x17, Buffer.from(digits.slice(2))) : value(0x18, Buffer.from(digits));
}
