/** DNS messages as a stub resolver sends them (RFC 1035 section 4, RFC 6891). Pure: bytes in, bytes out. */

/** A question that does not fit into 4 KiB is none: a name has 255 bytes, and the records behind it are a client's options. */
export const MAX_QUERY_BYTES = 4096;
const HEADER_BYTES = 12;
/** Bytes of a name on the wire, its final zero included (RFC 1035 section 2.3.4). */
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;
/** Records behind the question: an OPT and a signature are usual. */
const MAX_EXTRA_RECORDS = 4;
/** What we say we can receive; the size that no path fragments (DNS flag day 2020). */
const OUR_PAYLOAD_BYTES = 1232;

export const TYPE = { a: 1, ptr: 12, aaaa: 28, opt: 41 } as const;
export const CLASS = { in: 1, any: 255 } as const;
export const RCODE = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;
export type Rcode = (typeof RCODE)[keyof typeof RCODE];

const FLAG = { answer: 0x8000, opcode: 0x7800, recursionDesired: 0x0100, recursionAvailable: 0x0080, checkingDisabled: 0x0010 } as const;

/** One question that can be answered. */
export interface Query {
  readonly id: number;
  /** RD and CD, which the answer repeats. */
  readonly flags: number;
  /** Labels as sent, case included; empty: the root. */
  readonly labels: readonly Buffer[];
  readonly type: number;
  readonly class: number;
  /** The question as it was sent, which the answer repeats byte by byte: clients compare it, some of them by case. */
  readonly question: Buffer;
  /** Version of EDNS; absent: the client does not use it. */
  readonly ednsVersion?: number;
}

/** `reply`: what is wrong is said and nothing else; `ignore`: nobody is answered. */
export type Reading =
  | { readonly kind: "query"; readonly query: Query }
  | { readonly kind: "reply"; readonly reply: Buffer }
  | { readonly kind: "ignore" };

const IGNORE: Reading = { kind: "ignore" };

/** Reads one message. Names are never followed by compression pointers, so none can loop; a question whose name has one is malformed. */
export function readMessage(message: Buffer): Reading {
  if (message.length < HEADER_BYTES || message.length > MAX_QUERY_BYTES) return IGNORE;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.answer) !== 0) return IGNORE;
  if ((flags & FLAG.opcode) !== 0) return complaint(message, RCODE.notImplemented);
  const [questions, answers, authorities, extras] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at)) as [number, number, number, number];
  if (questions !== 1 || answers !== 0 || authorities !== 0 || extras > MAX_EXTRA_RECORDS) return complaint(message, RCODE.formatError);
  const question = readQuestion(message);
  const options = question && readExtras(message, question.end, extras);
  if (question === undefined || options === undefined) return complaint(message, RCODE.formatError);
  return {
    kind: "query",
    query: {
      id: message.readUInt16BE(0),
      flags: flags & (FLAG.recursionDesired | FLAG.checkingDisabled),
      labels: question.labels,
      type: message.readUInt16BE(question.end - 4),
      class: message.readUInt16BE(question.end - 2),
      question: message.subarray(HEADER_BYTES, question.end),
      ...(options.ednsVersion === undefined ? {} : { ednsVersion: options.ednsVersion }),
    },
  };
}

function readQuestion(message: Buffer): { readonly labels: readonly Buffer[]; readonly end: number } | undefined {
  const labels: Buffer[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const size = message[at];
    if (size === undefined || size > MAX_LABEL_BYTES) return undefined;
    at++;
    if (size === 0) break;
    if (at + size > message.length || at + size - HEADER_BYTES >= MAX_NAME_BYTES) return undefined;
    labels.push(message.subarray(at, at + size));
    at += size;
  }
  return at + 4 <= message.length ? { labels, end: at + 4 } : undefined;
}

/** Everything behind the question must be records, to the last byte, and at most one of them an OPT. */
function readExtras(message: Buffer, start: number, count: number): { readonly ednsVersion?: number } | undefined {
  let at = start;
  let ednsVersion: number | undefined;
  for (let index = 0; index < count; index++) {
    const body = endOfName(message, at);
    if (body === undefined || body + 10 > message.length) return undefined;
    if (message.readUInt16BE(body) === TYPE.opt) {
      if (ednsVersion !== undefined || body !== at + 1) return undefined;
      ednsVersion = message.readUInt8(body + 5);
    }
    at = body + 10 + message.readUInt16BE(body + 8);
    if (at > message.length) return undefined;
  }
  if (at !== message.length) return undefined;
  return ednsVersion === undefined ? {} : { ednsVersion };
}

/** A pointer ends a name; where it leads does not matter to us. */
function endOfName(message: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const size = message[at];
    if (size === undefined) return undefined;
    if (size >= 0xc0) return at + 2;
    if (size > MAX_LABEL_BYTES) return undefined;
    at += 1 + size;
    if (size === 0) return at;
    if (at - start >= MAX_NAME_BYTES) return undefined;
  }
}

/** Only the header: the message was not understood, so nothing of it is repeated but its id. */
function complaint(message: Buffer, rcode: Rcode): Reading {
  const reply = Buffer.alloc(HEADER_BYTES);
  reply.writeUInt16BE(message.readUInt16BE(0), 0);
  const kept = message.readUInt16BE(2) & (FLAG.opcode | FLAG.recursionDesired);
  reply.writeUInt16BE(FLAG.answer | FLAG.recursionAvailable | kept | rcode, 2);
  return { kind: "reply", reply };
}

/** What one question is told. */
export interface Answer {
  readonly rcode: Rcode;
  /** Record data of the question's own name and type. */
  readonly records: readonly Uint8Array[];
}

/** An answer's bytes. At most one name, two addresses and an OPT: it fits into the 512 bytes that every client takes. */
export function writeAnswer(query: Query, { rcode, records }: Answer, ttlSeconds: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(FLAG.answer | FLAG.recursionAvailable | query.flags | (rcode & 0xf), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(records.length, 6);
  header.writeUInt16BE(query.ednsVersion === undefined ? 0 : 1, 10);
  const parts: Uint8Array[] = [header, query.question];
  for (const data of records) parts.push(recordHead(query, ttlSeconds, data.length), data);
  if (query.ednsVersion !== undefined) parts.push(optRecord(rcode));
  return Buffer.concat(parts);
}

function recordHead(query: Query, ttlSeconds: number, size: number): Buffer {
  const head = Buffer.alloc(12);
  // A pointer to the question's name.
  head.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  head.writeUInt16BE(query.type, 2);
  head.writeUInt16BE(CLASS.in, 4);
  head.writeUInt32BE(ttlSeconds, 6);
  head.writeUInt16BE(size, 10);
  return head;
}

function optRecord(rcode: Rcode): Buffer {
  const record = Buffer.alloc(11);
  record.writeUInt16BE(TYPE.opt, 1);
  record.writeUInt16BE(OUR_PAYLOAD_BYTES, 3);
  record.writeUInt8(rcode >> 4, 5);
  return record;
}

/** A name as record data, uncompressed. The name must be one that a host can have. */
export function nameData(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  return Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), label]), Buffer.from([0])]);
}
