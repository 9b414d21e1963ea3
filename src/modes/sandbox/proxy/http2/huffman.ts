/**
 * The code of RFC 7541 appendix B. It is canonical: codes of one length follow each other in the order of their symbols, so the lengths are
 * all there is to know. Symbol 256 is the end of a string.
 */
const LENGTHS: Readonly<Record<number, readonly (number | readonly [number, number])[]>> = {
  5: [48, 49, 50, 97, 99, 101, 105, 111, 115, 116],
  6: [32, 37, [45, 47], [51, 57], 61, 65, 95, 98, 100, [102, 104], [108, 110], 112, 114, 117],
  7: [58, [66, 87], 89, 106, 107, 113, [118, 122]],
  8: [38, 42, 44, 59, 88, 90],
  10: [33, 34, 40, 41, 63],
  11: [39, 43, 124],
  12: [35, 62],
  13: [0, 36, 64, 91, 93, 126],
  14: [94, 125],
  15: [60, 96, 123],
  19: [92, 195, 208],
  20: [128, 130, 131, 162, 184, 194, 224, 226],
  21: [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230],
  22: [129, [132, 134], 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, [185, 187], 189, 190, 196, 198, 228, 232, 233],
  23: [1, 135, [137, 141], 143, 147, [149, 152], 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239],
  24: [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237],
  25: [199, 207, 234, 235],
  26: [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255],
  27: [203, 204, 211, 212, 214, 221, 222, 223, 241, [244, 248], [250, 254]],
  28: [[2, 8], 11, 12, [14, 21], [23, 31], 127, 220, 249],
  30: [10, 13, 22, 256],
};

const END = 256;
const codes = new Uint32Array(257);
const lengths = new Uint8Array(257);
/** A binary tree: two entries a node; positive: the next node; negative: the symbol, less one, inverted. */
const tree = new Int16Array(2 * 512);

function addToTree(symbol: number, code: number, length: number, nodes: number): number {
  let node = 0;
  let count = nodes;
  for (let bit = length - 1; bit > 0; bit--) {
    const slot = 2 * node + ((code >>> bit) & 1);
    if (tree[slot] === 0) tree[slot] = count++;
    node = tree[slot] ?? 0;
  }
  tree[2 * node + (code & 1)] = -(symbol + 1);
  return count;
}

function build(): void {
  let code = 0;
  let previous = 0;
  let nodes = 1;
  for (const [text, ranges] of Object.entries(LENGTHS)) {
    const length = Number(text);
    code = (code << (length - previous)) >>> 0;
    previous = length;
    for (const range of ranges) {
      const [from, to] = typeof range === "number" ? [range, range] : range;
      for (let symbol = from; symbol <= to; symbol++) {
        codes[symbol] = code;
        lengths[symbol] = length;
        nodes = addToTree(symbol, code, length, nodes);
        code = (code + 1) >>> 0;
      }
    }
  }
}
build();

/** Bytes that `text` (Latin-1) takes in this code. */
export function huffmanSize(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += lengths[text.charCodeAt(at)] ?? 0;
  return (bits + 7) >>> 3;
}

/** Writes `text` (Latin-1) at `at`; gives where it ends. There must be room for `huffmanSize` bytes. */
export function huffmanWrite(text: string, into: Buffer, at: number): number {
  let held = 0;
  let bits = 0;
  let end = at;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let left = lengths[symbol] ?? 0;
    const code = codes[symbol] ?? 0;
    // At most 7 bits are held, and 24 more fit into the 31 that are never negative.
    while (left > 0) {
      const take = Math.min(left, 24);
      held = (held << take) | ((code >>> (left - take)) & ((1 << take) - 1));
      bits += take;
      left -= take;
      while (bits >= 8) {
        bits -= 8;
        into[end++] = (held >>> bits) & 0xff;
      }
      held &= (1 << bits) - 1;
    }
  }
  if (bits > 0) into[end++] = ((held << (8 - bits)) | (0xff >>> bits)) & 0xff;
  return end;
}

/**
 * The text (Latin-1) of a coded string; undefined when it is none: padding of a byte or more, padding that is not ones, the end symbol
 * (RFC 7541 section 5.2).
 */
export function huffmanRead(bytes: Buffer, from: number, to: number): string | undefined {
  // The shortest code has 5 bits.
  const output = Buffer.allocUnsafe(Math.ceil(((to - from) * 8) / 5));
  let size = 0;
  let node = 0;
  let depth = 0;
  let ones = true;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >>> shift) & 1;
      ones &&= bit === 1;
      depth++;
      const next = tree[2 * node + bit] ?? 0;
      if (next > 0) {
        node = next;
        continue;
      }
      const symbol = -next - 1;
      if (symbol === END || next === 0) return undefined;
      output[size++] = symbol;
      node = 0;
      depth = 0;
      ones = true;
    }
  }
  return depth < 8 && ones ? output.toString("latin1", 0, size) : undefined;
}
