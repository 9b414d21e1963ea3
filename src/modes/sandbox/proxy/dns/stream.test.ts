import { expect, test } from "bun:test";
import { eventually } from "../../../../../test/eventually.ts";
import { question, words } from "./question-fixture.ts";
import { Responder } from "./responder.ts";
import { MAX_STREAMS, StreamResponder, type StreamSocket } from "./stream.ts";
import { SyntheticNames } from "./synthetic-names.ts";

/** A socket that takes `room` bytes and remembers what was done to it. */
class Recorded implements StreamSocket {
  room = Number.POSITIVE_INFINITY;
  written = Buffer.alloc(0);
  readonly calls: string[] = [];
  write(bytes: Uint8Array): number {
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    this.written = Buffer.concat([this.written, bytes.subarray(0, taken)]);
    return taken;
  }
  end = () => void this.calls.push("end");
  terminate = () => void this.calls.push("terminate");
  pause = () => void this.calls.push("pause");
  resume = () => void this.calls.push("resume");
  /** Ids of the answers so far. */
  get answered(): number[] {
    const ids: number[] = [];
    for (let at = 0; at + 4 <= this.written.length; at += 2 + this.written.readUInt16BE(at)) ids.push(this.written.readUInt16BE(at + 2));
    return ids;
  }
}

const responder = (now: () => number = () => 0) =>
  new Responder({
    names: new SyntheticNames(),
    host: { name: "box", ipv4: "10.200.0.2", ipv6: "fd00::2" },
    ipv6: true,
    emit: () => {},
    now,
  });
const framed = (...ids: number[]) =>
  Buffer.concat(ids.flatMap((id) => [words(question("a.example", { id }).length), question("a.example", { id })]));

function open(room = Number.POSITIVE_INFINITY) {
  using streams = new StreamResponder(responder());
  const socket = new Recorded();
  socket.room = room;
  return { socket, stream: streams.accept(socket)! };
}

test("questions are answered in order, however their bytes are cut", () => {
  const bytes = framed(1, 2, 3);
  for (let cut = 1; cut < bytes.length; cut++) {
    const socket = new Recorded();
    using streams = new StreamResponder(responder());
    const stream = streams.accept(socket)!;
    stream.clientData(bytes.subarray(0, cut));
    stream.clientData(bytes.subarray(cut));
    expect(socket.answered).toEqual([1, 2, 3]);
  }
});

test("a client that takes no answers is not read, and gets them when it does", () => {
  const socket = new Recorded();
  using streams = new StreamResponder(responder());
  const stream = streams.accept(socket)!;
  socket.room = 10;
  stream.clientData(framed(1, 2));
  expect([socket.written.length, socket.calls.at(-1)]).toEqual([10, "pause"]);
  socket.room = Number.POSITIVE_INFINITY;
  stream.clientDrained();
  expect([socket.answered, socket.calls.at(-1)]).toEqual([[1, 2], "resume"]);
});

test("what comes before the client's end is answered, then the connection ends", () => {
  const socket = new Recorded();
  using streams = new StreamResponder(responder());
  const stream = streams.accept(socket)!;
  stream.clientData(framed(1));
  stream.clientEnded();
  expect([socket.answered, socket.calls.at(-1)]).toEqual([[1], "end"]);
});

test("a message longer than any question resets; the end of the service ends every connection", () => {
  const { socket, stream } = open();
  expect(socket.calls).toEqual(["terminate"]);
  const other = new Recorded();
  using streams = new StreamResponder(responder());
  streams.accept(other)!.clientData(Buffer.from([0xff, 0xff, 0]));
  expect(other.calls).toEqual(["terminate"]);
  stream.clientClosed();
});

test("threat-26 connections are limited, and one that ends makes room", () => {
  using streams = new StreamResponder(responder());
  const accepted = Array.from({ length: MAX_STREAMS }, () => streams.accept(new Recorded()));
  expect(accepted.every((stream) => stream !== undefined)).toBe(true);
  const extra = new Recorded();
  expect(streams.accept(extra)).toBeUndefined();
  expect(extra.calls).toEqual(["terminate"]);
  accepted[0]!.clientClosed();
  expect(streams.accept(new Recorded())).toBeDefined();
});

test("threat-26 a client that asks too much waits", async () => {
  let now = 0;
  using streams = new StreamResponder(responder(() => now));
  const socket = new Recorded();
  const stream = streams.accept(socket)!;
  stream.clientData(framed(...Array.from({ length: 501 }, (_, id) => id)));
  expect([socket.answered.length, socket.calls.at(-1)]).toEqual([500, "pause"]);
  now = 1000;
  await eventually("the last answer", 10_000, async () => socket.answered.length === 501 || undefined);
});
