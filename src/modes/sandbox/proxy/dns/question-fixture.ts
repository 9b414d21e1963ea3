/** DNS messages for tests, written by hand as a client would. */

export interface Asked {
  readonly id?: number;
  readonly flags?: number;
  readonly type?: number;
  readonly class?: number;
  /** Version, when EDNS is used. */
  readonly edns?: number;
}

export const TXT = 16;
export const AAAA = 28;
export const PTR = 12;

/** A question for a name, written with dots; the empty name is the root. */
export function question(name: string, { id = 0x1234, flags = 0x0100, type = 1, class: kind = 1, edns }: Asked = {}): Buffer {
  const header = words(id, flags, 1, 0, 0, edns === undefined ? 0 : 1);
  const opt = edns === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0]), words(41, 4096), Buffer.from([0, edns, 0, 0, 0, 0])]);
  return Buffer.concat([header, wireName(name), words(type, kind), opt]);
}

export function wireName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")])),
    Buffer.from([0]),
  ]);
}

export function words(...list: number[]): Buffer {
  const out = Buffer.alloc(list.length * 2);
  for (const [index, word] of list.entries()) out.writeUInt16BE(word, index * 2);
  return out;
}

/** What tests look at of an answer to one question: its code, and the data of its records. */
export function readAnswer(reply: Buffer | undefined): { readonly rcode: number; readonly records: readonly Buffer[] } | undefined {
  if (reply === undefined) return undefined;
  let at = 12;
  if (reply.readUInt16BE(4) === 1) {
    while (reply[at] !== 0) at += 1 + (reply[at] ?? 0);
    at += 5;
  }
  const records: Buffer[] = [];
  for (let index = 0; index < reply.readUInt16BE(6); index++) {
    const size = reply.readUInt16BE(at + 10);
    records.push(reply.subarray(at + 12, at + 12 + size));
    at += 12 + size;
  }
  return { rcode: reply.readUInt16BE(2) & 0xf, records };
}
