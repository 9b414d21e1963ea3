/** The readers of other wire formats: DNS, ClientHello, HPACK, HTTP/2 sessions, WebSocket frames, PostgreSQL messages. */
import { ByteBudget } from "../../src/modes/sandbox/proxy/byte-budget.ts";
import { nameData, RCODE, readMessage, writeAnswer } from "../../src/modes/sandbox/proxy/dns/message.ts";
import { ConnectionError } from "../../src/modes/sandbox/proxy/http2/errors.ts";
import { Flag, FrameType, frame, PREFACE, settingsFrame } from "../../src/modes/sandbox/proxy/http2/frames.ts";
import { HpackDecoder, type RawField } from "../../src/modes/sandbox/proxy/http2/hpack-decoder.ts";
import { HpackEncoder } from "../../src/modes/sandbox/proxy/http2/hpack-encoder.ts";
import { Stage } from "../../src/modes/sandbox/proxy/http2/session.test-support.ts";
import { PostgresClientMessages } from "../../src/modes/sandbox/proxy/sql/client-messages.ts";
import { readClientHello } from "../../src/modes/sandbox/proxy/tls/client-hello.ts";
import { ClientMessages, FrameError } from "../../src/modes/sandbox/proxy/websocket/client-messages.ts";
import { frame as webSocketFrame } from "../../src/modes/sandbox/proxy/websocket/frame.ts";
import { fuzz, holds, same } from "./fuzz.ts";
import { split } from "./mutate.ts";

const question = (name: string, type: number, extra = "") =>
  Buffer.concat([
    Buffer.from(`123401000001000000000000${""}`, "hex"),
    nameData(name),
    Buffer.from([0, type, 0, 1]),
    Buffer.from(extra, "hex"),
  ]);
const withOptions = question("a.example", 1, "0000290500000000000000");
withOptions.writeUInt16BE(1, 10);

fuzz({
  name: "DNS messages",
  seeds: [question("a.example", 1), question("www.b.example", 28), withOptions, question("1.0.18.198.in-addr.arpa", 12)],
  words: ["\xc0\x0c", "\x3f", "\x00\x01\x00\x01", "\x00\x00\x29"],
  run(input) {
    const reading = readMessage(input);
    if (reading.kind === "reply") holds("a complaint is a header", reading.reply.length === 12 && ((reading.reply[2] ?? 0) & 0x80) !== 0);
    if (reading.kind !== "query") return;
    const { query } = reading;
    holds("a name of 255 bytes", query.labels.reduce((sum, label) => sum + label.length + 1, 1) <= 255);
    const answer = writeAnswer(query, { rcode: RCODE.noError, records: [Buffer.from([198, 18, 0, 1])] }, 1);
    holds("an answer in one packet", answer.length <= 512);
    same("the question is repeated", answer.subarray(12, 12 + query.question.length).toString("hex"), query.question.toString("hex"));
    same("an answer is not answered", readMessage(answer).kind, "ignore");
  },
});

const HELLO = clientHello("a.example", ["h2", "http/1.1"]);
fuzz({
  name: "ClientHello",
  seeds: [HELLO, records(HELLO.subarray(5), 7), clientHello(undefined, []), records(clientHello("b.example", ["h2"]).subarray(5), 100)],
  words: ["\x16\x03\x01", "\x00\x00", "\xff\xff", "\x00\x10"],
  run(input, dice) {
    const whole = readClientHello(input);
    let have = Buffer.alloc(0);
    for (const piece of split(dice, input)) {
      have = Buffer.concat([have, piece]);
      const result = readClientHello(have);
      if (result.kind === "incomplete") continue;
      same("pieces", result.kind === "invalid" ? "invalid" : result, whole.kind === "invalid" ? "invalid" : whole);
      return;
    }
    same("pieces", whole.kind, "incomplete");
  },
});

const FIELDS: readonly RawField[] = [
  [":method", "GET"],
  [":path", "/a?b=c"],
  [":scheme", "https"],
  [":authority", "a.example"],
  ["cookie", "a=b; c=d"],
  ["x-long", "y".repeat(200)],
];
fuzz({
  name: "HPACK",
  seeds: [
    new HpackEncoder().encode(FIELDS),
    Buffer.from("828684418cf1e3c2e5f23a6ba0ab90f4ff", "hex"),
    Buffer.from("3fe11f40056170706c65036f6b6562", "hex"),
    Buffer.from("20828684be58086e6f2d6361636865", "hex"),
  ],
  words: ["\x3f\xe1\x1f", "\xff\xff\xff\xff\x0f", "\x40", "\x00", "\x7f\xff"],
  run(input) {
    try {
      const { fields, tooLarge } = new HpackDecoder({ soft: 16_384, hard: 65_536 }).decode(input);
      if (tooLarge) return;
      const again = new HpackDecoder({ soft: 1e6, hard: 1e6 }).decode(new HpackEncoder().encode(fields));
      same("written anew", again.fields, fields);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
    }
  },
});

const SESSION = sessionBytes();
fuzz({
  name: "HTTP/2 sessions, in any pieces",
  seeds: [Buffer.concat(SESSION), Buffer.concat([...SESSION.slice(0, 3), ...SESSION.slice(2)]), Buffer.concat(SESSION.slice(0, 4))],
  words: [
    "\x00\x00\x00\x09\x00\x00\x00\x00\x01",
    "\x00\x00\x04\x08\x00\x00\x00\x00\x00",
    "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
    "PRI * HTTP/2.0",
  ],
  run(input, dice) {
    const read = (pieces: readonly Buffer[]) => {
      const stage = new Stage("server");
      for (const piece of pieces) stage.receive(piece);
      return { failed: stage.failure, told: merged(stage.told) };
    };
    same("pieces", read([input]), read(split(dice, input)));
  },
});

const mask = Buffer.from([1, 2, 3, 4]);
const masked = (opcode: number, text: string) => webSocketFrame(opcode, Buffer.from(text), mask);
const fragment = (first: number, text: string) => {
  const bytes = masked(0, text);
  bytes[0] = first;
  return bytes;
};
fuzz({
  name: "WebSocket messages, in any pieces",
  seeds: [
    masked(1, "hello"),
    Buffer.concat([fragment(0x01, "hel"), masked(9, "ping"), fragment(0x80, "lo"), masked(2, "binary")]),
    Buffer.concat([masked(1, "x".repeat(300)), masked(8, "\x03\xe8bye")]),
    masked(1, '{"type":"subscribe","payload":{"query":"{ a }"}}'),
  ],
  words: ["\x81\x80\x00\x00\x00\x00", "\x88\x80\x00\x00\x00\x00", "\x81\xfe\x00\x7e", "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"],
  run(input, dice) {
    const read = (pieces: readonly Buffer[]) => {
      const heard: string[] = [];
      const budget = new ByteBudget(1 << 20);
      let closed = false;
      const messages = new ClientMessages(
        {
          text: (text) => heard.push(`text ${text}`),
          binaryFrame: (head) => heard.push(`frame ${JSON.stringify(head)}`),
          binaryBytes: (bytes) => heard.push(`bytes ${bytes.toString("latin1")}`),
          control(opcode, payload) {
            heard.push(`control ${opcode} ${payload.toString("latin1")}`);
            closed ||= opcode === 8;
          },
          get closed() {
            return closed;
          },
        },
        budget,
      );
      let fault = 0;
      try {
        for (const piece of pieces) messages.take(Buffer.from(piece));
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        fault = error.code;
      }
      messages.drop();
      same("what was kept is given back", budget.used, 0);
      return { fault, heard: joined(heard, "bytes ") };
    };
    same("pieces", read([input]), read(split(dice, input)));
  },
});

const message = (type: string, body: string) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, Buffer.from(body)]);
};
const STARTUP = message("", "\x00\x03\x00\x00user\0me\0\0");
fuzz({
  name: "PostgreSQL messages, in any pieces",
  seeds: [
    Buffer.concat([STARTUP, message("Q", "select 1; drop table a\0")]),
    Buffer.concat([
      STARTUP,
      message("P", "name\0select $1\0\0\0"),
      message("B", "\0\0"),
      message("S", ""),
      message("F", "x"),
      message("X", ""),
    ]),
  ],
  words: ["Q\x00\x00\x00\x05", "P\x00\x00\x00\x04", "\x00\x00\x00\x00", "\xff\xff\xff\xff"],
  run(input, dice) {
    const read = (pieces: readonly Buffer[]) => {
      const heard: string[] = [];
      const budget = new ByteBudget(1 << 22);
      const messages = new PostgresClientMessages(
        {
          query: (text) => heard.push(`query ${text}`),
          functionCall: () => heard.push("call"),
          unread: (bytes) => heard.push(`unread ${bytes}`),
        },
        budget,
      );
      const good = pieces.every((piece) => messages.take(piece));
      messages.drop();
      same("what was kept is given back", budget.used, 0);
      return { good, heard };
    };
    same("pieces", read([input]), read(split(dice, input)));
  },
});

/** A ClientHello of one record. */
function clientHello(name: string | undefined, protocols: readonly string[]): Buffer {
  const vector = (size: 1 | 2, bytes: Buffer) => {
    const length = Buffer.alloc(size);
    length.writeUIntBE(bytes.length, 0, size);
    return Buffer.concat([length, bytes]);
  };
  const extension = (type: number, bytes: Buffer) => Buffer.concat([Buffer.from([0, type]), vector(2, bytes)]);
  const serverName = name === undefined ? [] : [extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))])))];
  const offered = vector(2, Buffer.concat(protocols.map((protocol) => vector(1, Buffer.from(protocol)))));
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 1, 0x13, 2])),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat([extension(43, Buffer.from([2, 3, 4])), ...serverName, extension(16, offered)])),
  ]);
  const head = Buffer.from([1, 0, body.length >> 8, body.length & 255]);
  return records(Buffer.concat([head, body]), 16_384);
}

function records(handshake: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < handshake.length; at += size) {
    const piece = handshake.subarray(at, at + size);
    parts.push(Buffer.from([0x16, 3, 1, piece.length >> 8, piece.length & 255]), piece);
  }
  return Buffer.concat(parts);
}

function sessionBytes(): Buffer[] {
  const encoder = new HpackEncoder();
  const get = FIELDS.slice(0, 5);
  const block = encoder.encode(get);
  return [
    PREFACE,
    settingsFrame([[4, 100_000]]),
    frame(FrameType.headers, Flag.endHeaders, 1, block),
    frame(FrameType.data, 0, 1, Buffer.from("hello")),
    frame(FrameType.data, Flag.endStream, 1, Buffer.alloc(0)),
    frame(FrameType.headers, Flag.endStream, 3, encoder.encode(get).subarray(0, 3)),
    frame(FrameType.continuation, Flag.endHeaders, 3, Buffer.alloc(0)),
    frame(FrameType.ping, 0, 0, Buffer.alloc(8)),
    frame(FrameType.resetStream, 0, 1, Buffer.from([0, 0, 0, 8])),
    frame(FrameType.windowUpdate, 0, 0, Buffer.from([0, 0, 1, 0])),
  ];
}

/** DATA may be told of in pieces. */
function merged(told: readonly string[]): string[] {
  const lines: string[] = [];
  for (const line of told) {
    const data = /^data (\d+) (\d+)(.*)$/.exec(line);
    const last = /^data (\d+) (\d+)$/.exec(lines.at(-1) ?? "");
    if (data !== null && last !== null && data[1] === last[1])
      lines[lines.length - 1] = `data ${data[1]} ${Number(data[2]) + Number(last[2])}${data[3]}`;
    else lines.push(line);
  }
  return lines;
}

function joined(lines: readonly string[], prefix: string): string[] {
  const result: string[] = [];
  for (const line of lines) {
    if (line.startsWith(prefix) && result.at(-1)?.startsWith(prefix)) result[result.length - 1] += line.slice(prefix.length);
    else result.push(line);
  }
  return result;
}
