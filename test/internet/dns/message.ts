/** DNS messages (RFC 1035), as much as a test server needs: one question, address answers, NXDOMAIN. */

export const TYPE_A = 1;
export const TYPE_AAAA = 28;

export interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** The question section as it came, to be repeated in the answer. */
  readonly section: Uint8Array;
  readonly recursionDesired: boolean;
}

/** Reads the only question of a query; undefined when the bytes are no query with one question. */
export function parseQuestion(message: Uint8Array): Question | undefined {
  if (message.length < 17) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const flags = view.getUint16(2);
  if ((flags & 0x8000) !== 0 || view.getUint16(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(new TextDecoder().decode(message.subarray(at, at + length)).toLowerCase());
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  return {
    id: view.getUint16(0),
    name: labels.join("."),
    type: view.getUint16(at),
    section: message.slice(12, at + 4),
    recursionDesired: (flags & 0x0100) !== 0,
  };
}

/** `known: false` answers NXDOMAIN; known without addresses of the asked type answers an empty NOERROR. TTL 0: nobody may cache. */
export function encodeAnswer(question: Question, known: boolean, addresses: readonly Uint8Array[]): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint16(0, question.id);
  view.setUint16(2, 0x8480 | (question.recursionDesired ? 0x0100 : 0) | (known ? 0 : 3));
  view.setUint16(4, 1);
  view.setUint16(6, addresses.length);
  const answers = addresses.map((address) => {
    const record = new Uint8Array(12 + address.length);
    const fields = new DataView(record.buffer);
    fields.setUint16(0, 0xc00c); // the name: a pointer to the question's
    fields.setUint16(2, question.type);
    fields.setUint16(4, 1);
    fields.setUint32(6, 0);
    fields.setUint16(10, address.length);
    record.set(address, 12);
    return record;
  });
  return Buffer.concat([head, question.section, ...answers]);
}
