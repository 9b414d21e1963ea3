/** What RFC 9113 calls an error, frame by frame, and what we answer: a stream's end or the connection's. */
import { describe, expect, test } from "bun:test";
import { frame, MAX_FRAME_BYTES, numberFrame, PREFACE, settingsFrame, FrameType as Type } from "./frames.ts";
import { Stage } from "./session.test-support.ts";

const bytes = (...values: number[]) => Buffer.from(values);
const data = (stream: number, size = 0, flags = 0) => frame(Type.data, flags, stream, Buffer.alloc(size));
const open = (stage: Stage) => stage.headers(1, 0x4);
const whole = (stage: Stage) => stage.headers(1, 0x5);
const field = (name: string, value: string) => Buffer.from([0, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)]);

type Case = readonly [name: string, frames: (stage: Stage) => readonly Uint8Array[], answer: string | undefined];

/** Behind preface and SETTINGS of a client. `undefined`: nothing is wrong. */
const CASES: readonly Case[] = [
  // 4.1, 4.2: frames
  ["4.1 a frame of an unknown type", () => [frame(0xbe, 0xff, 0, bytes(1, 2))], undefined],
  ["4.1 unknown flags", () => [frame(Type.ping, 0xfe, 0, Buffer.alloc(8))], "ping ack"],
  [
    "4.1 a reserved bit in the stream",
    (s) => [Buffer.concat([whole(s).subarray(0, 5), bytes(0x80, 0, 0, 1), whole(s).subarray(9)])],
    undefined,
  ],
  ["4.2 a frame larger than announced", () => [bytes(0, 0x40, 1, Type.data, 0, 0, 0, 0, 1)], "goaway frameSizeError"],
  ["4.2 SETTINGS larger than announced", () => [bytes(0xff, 0xff, 0xff, Type.settings, 0, 0, 0, 0, 0)], "goaway frameSizeError"],
  ["4.2 a frame of exactly the announced size", (s) => [open(s), data(1, MAX_FRAME_BYTES)], undefined],
  // 4.3: header blocks
  [
    "4.3 a block that cannot be decoded",
    () => [frame(Type.headers, 0x5, 1, bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))],
    "goaway compressionError",
  ],
  ["4.3 an index that nobody has defined", () => [frame(Type.headers, 0x5, 1, bytes(0xc6))], "goaway compressionError"],
  ["4.3 PING inside a block", (s) => [s.headers(1, 0x1), frame(Type.ping, 0, 0, Buffer.alloc(8))], "goaway protocolError"],
  ["4.3 DATA inside a block", (s) => [s.headers(1, 0x1), data(1, 1)], "goaway protocolError"],
  ["4.3 an unknown frame inside a block", (s) => [s.headers(1, 0x1), frame(0xbe, 0, 0)], "goaway protocolError"],
  ["4.3 HEADERS inside a block", (s) => [s.headers(1, 0x1), s.headers(3)], "goaway protocolError"],
  // 5.1: states
  ["5.1 DATA on an idle stream", () => [data(1, 1)], "goaway protocolError"],
  ["5.1 RST_STREAM on an idle stream", () => [numberFrame(Type.resetStream, 1, 8)], "goaway protocolError"],
  ["5.1 WINDOW_UPDATE on an idle stream", () => [numberFrame(Type.windowUpdate, 1, 8)], "goaway protocolError"],
  ["5.1 CONTINUATION on an idle stream", () => [frame(Type.continuation, 0x4, 1, bytes(0x82))], "goaway protocolError"],
  ["5.1 DATA behind END_STREAM", (s) => [whole(s), data(1, 1)], "reset 1 streamClosed"],
  ["5.1 HEADERS behind END_STREAM", (s) => [whole(s), whole(s)], "reset 1 streamClosed"],
  ["5.1 CONTINUATION behind END_STREAM", (s) => [whole(s), frame(Type.continuation, 0x4, 1, bytes(0x82))], "goaway protocolError"],
  ["5.1 DATA on a stream that the client reset", (s) => [open(s), numberFrame(Type.resetStream, 1, 8), data(1, 1)], "reset 1 streamClosed"],
  ["5.1 HEADERS on a stream that the client reset", (s) => [open(s), numberFrame(Type.resetStream, 1, 8), whole(s)], "goaway streamClosed"],
  ["5.1 RST_STREAM twice", (s) => [open(s), numberFrame(Type.resetStream, 1, 8), numberFrame(Type.resetStream, 1, 8)], undefined],
  [
    "5.1 WINDOW_UPDATE on a closed stream",
    (s) => [open(s), numberFrame(Type.resetStream, 1, 8), numberFrame(Type.windowUpdate, 1, 8)],
    undefined,
  ],
  ["5.1 PRIORITY on an idle stream", () => [frame(Type.priority, 0, 9, Buffer.alloc(5))], undefined],
  ["5.1.1 an even stream", (s) => [s.headers(2)], "goaway protocolError"],
  ["5.1.1 a stream below the last", (s) => [s.headers(5), s.headers(3)], "goaway streamClosed"],
  [
    "5.1.2 one stream more than announced",
    (s) => Array.from({ length: 101 }, (_, index) => s.headers(2 * index + 1, 0x4)),
    "reset 201 refusedStream",
  ],
  [
    "5.3.1 HEADERS that depend on themselves",
    (s) => [frame(Type.headers, 0x25, 1, Buffer.concat([bytes(0, 0, 0, 1, 16), s.encoder.encode([])]))],
    "goaway protocolError",
  ],
  ["5.3.1 PRIORITY that depends on itself", (s) => [open(s), frame(Type.priority, 0, 1, bytes(0, 0, 0, 1, 16))], "reset 1 protocolError"],
  // 6.1: DATA
  ["6.1 DATA on stream 0", () => [data(0, 1)], "goaway protocolError"],
  ["6.1 padding as long as the frame", (s) => [open(s), frame(Type.data, 0x8, 1, bytes(5, 0, 0, 0, 0))], "goaway protocolError"],
  ["6.1 padding without its length", (s) => [open(s), frame(Type.data, 0x8, 1)], "goaway protocolError"],
  ["6.1 padding alone", (s) => [open(s), frame(Type.data, 0x9, 1, bytes(4, 0, 0, 0, 0))], undefined],
  // 6.2: HEADERS
  ["6.2 HEADERS on stream 0", (s) => [s.headers(0)], "goaway protocolError"],
  ["6.2 more padding than bytes", () => [frame(Type.headers, 0xd, 1, bytes(9, 0x82))], "goaway protocolError"],
  ["6.2 priority that is cut", () => [frame(Type.headers, 0x25, 1, bytes(0, 0))], "goaway protocolError"],
  [
    "6.2 padded and with priority",
    (s) => [frame(Type.headers, 0x2d, 1, Buffer.concat([bytes(2, 0, 0, 0, 0, 16), s.encoder.encode([[":path", "/"]]), bytes(0, 0)]))],
    undefined,
  ],
  // 6.3: PRIORITY
  ["6.3 PRIORITY on stream 0", () => [frame(Type.priority, 0, 0, Buffer.alloc(5))], "goaway protocolError"],
  ["6.3 PRIORITY of 4 bytes", (s) => [open(s), frame(Type.priority, 0, 1, Buffer.alloc(4))], "reset 1 frameSizeError"],
  // 6.4: RST_STREAM
  ["6.4 RST_STREAM on stream 0", () => [numberFrame(Type.resetStream, 0, 8)], "goaway protocolError"],
  ["6.4 RST_STREAM of 3 bytes", (s) => [open(s), frame(Type.resetStream, 0, 1, Buffer.alloc(3))], "goaway frameSizeError"],
  ["6.4 RST_STREAM of 5 bytes", (s) => [open(s), frame(Type.resetStream, 0, 1, Buffer.alloc(5))], "goaway frameSizeError"],
  // 6.5: SETTINGS
  [
    "6.5 SETTINGS",
    () => [
      settingsFrame([
        [0xf000, 7],
        [3, 1],
      ]),
    ],
    "settings ack",
  ],
  ["6.5 SETTINGS on a stream", () => [frame(Type.settings, 0, 1)], "goaway protocolError"],
  ["6.5 SETTINGS of 5 bytes", () => [frame(Type.settings, 0, 0, Buffer.alloc(5))], "goaway frameSizeError"],
  ["6.5 an acknowledgement with settings", () => [frame(Type.settings, 1, 0, Buffer.alloc(6))], "goaway frameSizeError"],
  ["6.5.2 ENABLE_PUSH of 2", () => [settingsFrame([[2, 2]])], "goaway protocolError"],
  ["6.5.2 INITIAL_WINDOW_SIZE of 2^31", () => [settingsFrame([[4, 2 ** 31]])], "goaway flowControlError"],
  ["6.5.2 MAX_FRAME_SIZE of 16383", () => [settingsFrame([[5, 16_383]])], "goaway protocolError"],
  ["6.5.2 MAX_FRAME_SIZE of 2^24", () => [settingsFrame([[5, 2 ** 24]])], "goaway protocolError"],
  // 6.6: PUSH_PROMISE
  ["6.6 PUSH_PROMISE of a client", (s) => [whole(s), frame(Type.pushPromise, 0x4, 1, bytes(0, 0, 0, 2, 0x82))], "goaway protocolError"],
  // 6.7: PING
  ["6.7 PING", () => [frame(Type.ping, 0, 0, Buffer.alloc(8))], "ping ack"],
  ["6.7 PING that is an acknowledgement", () => [frame(Type.ping, 1, 0, Buffer.alloc(8))], undefined],
  ["6.7 PING on a stream", () => [frame(Type.ping, 0, 1, Buffer.alloc(8))], "goaway protocolError"],
  ["6.7 PING of 7 bytes", () => [frame(Type.ping, 0, 0, Buffer.alloc(7))], "goaway frameSizeError"],
  // 6.8: GOAWAY
  ["6.8 GOAWAY on a stream", () => [frame(Type.goaway, 0, 1, Buffer.alloc(8))], "goaway protocolError"],
  ["6.8 GOAWAY of 7 bytes", () => [frame(Type.goaway, 0, 0, Buffer.alloc(7))], "goaway frameSizeError"],
  ["6.8 GOAWAY with a message", (s) => [open(s), frame(Type.goaway, 0, 0, Buffer.alloc(20)), data(1, 1)], undefined],
  // 6.9: WINDOW_UPDATE
  ["6.9 a window of the connection grows by 0", () => [numberFrame(Type.windowUpdate, 0, 0)], "goaway protocolError"],
  ["6.9 a window of a stream grows by 0", (s) => [open(s), numberFrame(Type.windowUpdate, 1, 0)], "reset 1 protocolError"],
  ["6.9 WINDOW_UPDATE of 3 bytes", () => [frame(Type.windowUpdate, 0, 0, Buffer.alloc(3))], "goaway frameSizeError"],
  [
    "6.9.1 more DATA than the stream's window",
    (s) => [open(s), ...Array.from({ length: 5 }, () => data(1, MAX_FRAME_BYTES))],
    "reset 1 flowControlError",
  ],
  [
    "6.9.1 more DATA than the connection's window",
    (s) => [
      ...[1, 3, 5, 7, 9].flatMap((id) => [
        s.headers(id, 0x4),
        ...Array.from({ length: 3 }, () => data(id, MAX_FRAME_BYTES)),
        data(id, 16_000),
      ]),
    ],
    "goaway flowControlError",
  ],
  [
    "6.9.1 a window of a stream beyond 2^31 - 1",
    (s) => [open(s), numberFrame(Type.windowUpdate, 1, 0x7fffffff)],
    "reset 1 flowControlError",
  ],
  ["6.9.1 a window of the connection beyond 2^31 - 1", () => [numberFrame(Type.windowUpdate, 0, 0x7fffffff)], "goaway flowControlError"],
  [
    "6.9.2 SETTINGS make a window too large",
    (s) => [open(s), numberFrame(Type.windowUpdate, 1, 0x7fff0000), settingsFrame([[4, 0x7fffffff]])],
    "goaway flowControlError",
  ],
  // 6.10: CONTINUATION
  [
    "6.10 a block in three frames",
    (s) => [
      frame(Type.headers, 0x1, 1, s.encoder.encode([])),
      frame(Type.continuation, 0, 1, field("a", "b")),
      frame(Type.continuation, 0x4, 1, field("c", "d")),
    ],
    undefined,
  ],
  [
    "6.10 CONTINUATION of another stream",
    (s) => [s.headers(1, 0x1), frame(Type.continuation, 0x4, 3, bytes(0x82))],
    "goaway protocolError",
  ],
  ["6.10 CONTINUATION on stream 0", (s) => [s.headers(1, 0x1), frame(Type.continuation, 0x4, 0, bytes(0x82))], "goaway protocolError"],
  [
    "6.10 CONTINUATION behind END_HEADERS",
    (s) => [s.headers(1, 0x4), frame(Type.continuation, 0x4, 1, bytes(0x82))],
    "goaway protocolError",
  ],
  ["6.10 CONTINUATION without HEADERS", () => [frame(Type.continuation, 0x4, 1, bytes(0x82))], "goaway protocolError"],
  // 8.1: messages
  ["8.1 trailers", (s) => [open(s), data(1, 1), s.headers(1, 0x5, [["x", "y"]])], undefined],
  ["8.1 a second HEADERS that does not end the stream", (s) => [open(s), s.headers(1, 0x4, [["x", "y"]])], "reset 1 protocolError"],
  // threat 34
  [
    "threat-34 33 frames of one block",
    (s) => [s.headers(1, 0), ...Array.from({ length: 32 }, () => frame(Type.continuation, 0, 1))],
    "goaway enhanceYourCalm",
  ],
  [
    "threat-34 32 frames of one block",
    (s) => [s.headers(1, 0x1), ...Array.from({ length: 30 }, () => frame(Type.continuation, 0, 1)), frame(Type.continuation, 0x4, 1)],
    undefined,
  ],
  [
    "threat-34 a block of 80 KiB",
    (s) => [s.headers(1, 0), ...Array.from({ length: 5 }, () => frame(Type.continuation, 0, 1, Buffer.alloc(MAX_FRAME_BYTES)))],
    "goaway enhanceYourCalm",
  ],
  [
    "threat-34 a list that grows a thousandfold when decoded",
    () => [
      frame(
        Type.headers,
        0x5,
        1,
        Buffer.concat([bytes(0x40, 1, 0x78, 0x7f, 0xa1, 0x1e), Buffer.alloc(4000, 0x61), Buffer.alloc(100, 0xbe)]),
      ),
    ],
    "goaway enhanceYourCalm",
  ],
  [
    "threat-34 streams opened and reset",
    (s) =>
      Array.from({ length: 600 }, (_, index) => [s.headers(2 * index + 1, 0x4), numberFrame(Type.resetStream, 2 * index + 1, 8)]).flat(),
    "goaway enhanceYourCalm",
  ],
  [
    "threat-34 streams that we are made to reset",
    (s) =>
      Array.from({ length: 600 }, (_, index) => [s.headers(2 * index + 1, 0x4), numberFrame(Type.windowUpdate, 2 * index + 1, 0)]).flat(),
    "goaway enhanceYourCalm",
  ],
  [
    "threat-34 PING without end",
    () => Array.from({ length: 1100 }, () => frame(Type.ping, 0, 0, Buffer.alloc(8))),
    "goaway enhanceYourCalm",
  ],
  ["threat-34 SETTINGS without end", () => Array.from({ length: 110 }, () => settingsFrame([])), "goaway enhanceYourCalm"],
  ["threat-34 empty DATA without end", (s) => [open(s), ...Array.from({ length: 1100 }, () => data(1))], "goaway enhanceYourCalm"],
  [
    "threat-34 PRIORITY without end",
    () => [Buffer.concat(Array.from({ length: 20_100 }, () => frame(Type.priority, 0, 9, Buffer.alloc(5))))],
    "goaway enhanceYourCalm",
  ],
];

describe("what a client sends", () => {
  for (const [name, frames, answer] of CASES)
    test(name, () => {
      const stage = new Stage().begin();
      // What arrives is not read on, so that windows stay as they are.
      stage.reads = false;
      stage.receive(...frames(stage));
      const did = stage.did().filter((line) => !line.startsWith("window"));
      const wrong = did.filter((line) => line.startsWith("goaway") || line.startsWith("reset"));
      if (answer === undefined) expect(wrong).toEqual([]);
      else expect(wrong.length > 0 ? wrong.at(-1) : did.at(-1)).toBe(answer);
      if (wrong.some((line) => line.startsWith("goaway"))) expect(stage.failure).not.toBe("");
    });
});

describe("the beginning of a connection", () => {
  for (const [name, sent, answer] of [
    ["3.4 a wrong preface", [Buffer.from("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n")], "goaway protocolError"],
    ["3.4 a request of HTTP/1", [Buffer.from("GET / HTTP/1.1\r\n\r\n")], "goaway protocolError"],
    ["3.4 another frame before SETTINGS", [PREFACE, frame(Type.ping, 0, 0, Buffer.alloc(8))], "goaway protocolError"],
    ["3.4 an acknowledgement before SETTINGS", [PREFACE, frame(Type.settings, 1, 0)], "goaway protocolError"],
    ["3.4 byte by byte", [...Buffer.concat([PREFACE, settingsFrame([])])].map((byte) => bytes(byte)), "settings ack"],
  ] as const)
    test(name, () =>
      expect(
        new Stage()
          .receive(...sent)
          .did()
          .at(-1),
      ).toBe(answer),
    );
});

/** Behind SETTINGS of a server, with stream 1 open. */
const SERVER_CASES: readonly Case[] = [
  ["PUSH_PROMISE", () => [frame(Type.pushPromise, 0x4, 1, bytes(0, 0, 0, 2, 0x82))], "goaway protocolError"],
  ["ENABLE_PUSH of 1", () => [settingsFrame([[2, 1]])], "goaway protocolError"],
  ["HEADERS on a stream of its own", (s) => [s.headers(2, 0x4, [[":status", "200"]])], "goaway protocolError"],
  ["HEADERS on a stream that we have not opened", (s) => [s.headers(3, 0x4, [[":status", "200"]])], "goaway protocolError"],
  ["DATA before a head", () => [data(1, 1)], "reset 1 protocolError"],
  ["DATA on a stream that we have not opened", () => [data(7, 1)], "goaway protocolError"],
  [
    "33 frames of one block",
    (s) => [s.headers(1, 0, [[":status", "200"]]), ...Array.from({ length: 32 }, () => frame(Type.continuation, 0, 1))],
    "goaway enhanceYourCalm",
  ],
  [
    "an answer that crosses our reset",
    (s) => [s.headers(1, 0x4, [[":status", "200"]]), data(1, 5), s.headers(1, 0x5, [["x", "y"]])],
    undefined,
  ],
];

describe("what a server sends", () => {
  for (const [name, frames, answer] of SERVER_CASES)
    test(name, () => {
      const stage = new Stage("client").begin();
      const stream = stage.request();
      if (name.includes("crosses")) stream.reset(8);
      stage.did();
      const did = stage.receive(...frames(stage)).did();
      const wrong = did.filter((line) => line.startsWith("goaway") || line.startsWith("reset"));
      expect(wrong.at(-1)).toBe(answer);
    });
});
