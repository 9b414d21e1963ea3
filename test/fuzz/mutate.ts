/** Inputs that are nearly right: seeds with a few changes of the kinds that parsers stumble over. Repeatable. */
import type { Dice } from "../../src/policy/dice.test-support.ts";

/** Longer inputs only make rounds slow. */
const MAX_BYTES = 4096;
const BYTES: readonly number[] = [
  0, 1, 9, 10, 11, 12, 13, 32, 0x22, 0x25, 0x2c, 0x2e, 0x2f, 0x30, 0x3a, 0x3b, 0x5c, 0x7f, 0x80, 0xa0, 0xff,
];

/** One to four changes to one of the seeds. `words` are put in where they do most harm. */
export function mutate(dice: Dice, seeds: readonly Buffer[], words: readonly string[]): Buffer {
  let bytes = pick(dice, seeds);
  for (let changes = 1 + dice.below(4); changes > 0; changes--) bytes = change(dice, bytes, seeds, words);
  return bytes.length > MAX_BYTES ? bytes.subarray(0, MAX_BYTES) : bytes;
}

function change(dice: Dice, bytes: Buffer, seeds: readonly Buffer[], words: readonly string[]): Buffer {
  const at = dice.below(bytes.length + 1);
  const size = dice.below(Math.min(16, bytes.length - at + 1));
  const put = (middle: Uint8Array, dropped: number) => Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at + dropped)]);
  switch (dice.below(9)) {
    case 0:
      return put(Buffer.from([(bytes[at] ?? 0) ^ (1 << dice.below(8))]), 1);
    case 1:
      return put(Buffer.from([pick(dice, BYTES)]), dice.below(2));
    case 2:
      return put(Buffer.from([dice.below(256)]), 1);
    case 3:
      return put(Buffer.alloc(0), size);
    case 4:
      return put(bytes.subarray(at, at + size), 0);
    case 5:
      return put(Buffer.from(words.length === 0 ? "" : pick(dice, words), "latin1"), dice.below(2) * size);
    case 6: {
      const other = pick(dice, seeds);
      const from = dice.below(other.length + 1);
      return put(other.subarray(from, from + dice.below(64)), dice.below(2) * size);
    }
    case 7:
      return bytes.subarray(0, at);
    default:
      return put(Buffer.alloc(dice.below(8), pick(dice, BYTES)), 0);
  }
}

/** Pieces that together are `bytes`; one of them may be a single byte, or empty. */
export function split(dice: Dice, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = dice.below(4) === 0 ? 1 : dice.below(bytes.length - at + 1);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

function pick<Item>(dice: Dice, items: readonly Item[]): Item {
  const item = items[dice.below(items.length)];
  if (item === undefined) throw new Error("nothing to pick from");
  return item;
}
