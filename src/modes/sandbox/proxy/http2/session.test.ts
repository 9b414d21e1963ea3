/** Flow control, the order of what is sent, and the life of streams. */
import { describe, expect, test } from "bun:test";
import { ByteQueue } from "./byte-queue.ts";
import { FrameType, frame, goawayFrame, MAX_FRAME_BYTES, numberFrame, PREFACE, settingsFrame } from "./frames.ts";
import { grantedWindowBytes, ReceiveWindow } from "./receive-window.ts";
import { Stage } from "./session.test-support.ts";

const data = (stream: number, size: number, flags = 0) => frame(FrameType.data, flags, stream, Buffer.alloc(size));
const RESPONSE = [[":status", "200"]] as const;

describe("what is sent", () => {
  test("as much as the windows allow, streams by turns", () => {
    const all = new Stage().begin().receive(settingsFrame([[4, 40_000]]));
    all.receive(all.headers(1), all.headers(3));
    all.did();
    for (const stream of all.streams) stream.write(Buffer.alloc(50_000));
    for (const stream of all.streams) stream.end();
    // 65,535 of the connection: neither stream gets all of its 40,000.
    expect(all.did()).toEqual([
      `data 1 ${MAX_FRAME_BYTES}`,
      `data 3 ${MAX_FRAME_BYTES}`,
      `data 1 ${MAX_FRAME_BYTES}`,
      `data 3 ${65_535 - 3 * MAX_FRAME_BYTES}`,
    ]);
    all.receive(numberFrame(FrameType.windowUpdate, 0, 100_000));
    expect(all.did()).toEqual([`data 1 ${40_000 - 2 * MAX_FRAME_BYTES}`, `data 3 ${40_000 - (65_535 - 2 * MAX_FRAME_BYTES)}`]);
    all.receive(numberFrame(FrameType.windowUpdate, 3, 1));
    expect(all.did()).toEqual(["data 3 1"]);
    all.receive(settingsFrame([[4, 60_000]]));
    expect(all.did()).toEqual(["settings ack", "data 1 10000 end", "data 3 9999 end"]);
  });

  test("nothing while the socket takes nothing, except what answers the peer", () => {
    const stage = new Stage().begin();
    stage.receive(stage.headers(1));
    stage.writable = false;
    stage.streams[0]?.write(Buffer.from("x"));
    stage.receive(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
    expect(stage.did()).toEqual(["ping ack"]);
    stage.writable = true;
    expect(stage.did()).toEqual(["data 1 1"]);
  });

  test("the end comes with the last bytes, with trailers, or alone", () => {
    const stage = new Stage().begin();
    stage.receive(stage.headers(1), stage.headers(3), stage.headers(5));
    stage.did();
    const [first, second, third] = stage.streams;
    first?.write(Buffer.from("x"));
    first?.end();
    second?.write(Buffer.from("x"));
    second?.end([["grpc-status", "0"]]);
    third?.end();
    expect(stage.did()).toEqual(["data 1 1 end", "data 3 1", "headers 3 grpc-status=0 end", "data 5 0 end"]);
    expect(stage.told.slice(-3)).toEqual(["finished 1", "finished 3", "finished 5"]);
    expect(stage.session.active).toBe(0);
  });

  test("threat-34 a peer that opens its window by crumbs is counted", () => {
    const stage = new Stage().begin().receive(settingsFrame([[4, 0]]));
    stage.receive(stage.headers(1));
    stage.streams[0]?.write(Buffer.alloc(100_000));
    for (let count = 0; count < 5200; count++) stage.receive(numberFrame(FrameType.windowUpdate, 1, 1));
    expect(stage.did().at(-1)).toBe("goaway enhanceYourCalm");
    const slow = new Stage().begin().receive(settingsFrame([[4, 0]]));
    slow.receive(slow.headers(1));
    slow.streams[0]?.write(Buffer.alloc(100_000));
    for (let count = 0; count < 5200; count++) {
      slow.clock += 10;
      slow.receive(numberFrame(FrameType.windowUpdate, 1, 1));
    }
    expect(slow.failure).toBe("");
  });
});

describe("what is received", () => {
  test("counts against the windows until it is passed on, also when its stream is gone", () => {
    const stage = new Stage().begin();
    stage.reads = false;
    stage.receive(stage.headers(1, 0x4), ...Array.from({ length: 3 }, () => data(1, MAX_FRAME_BYTES)));
    expect(stage.did()).toEqual([]);
    stage.streams[0]?.consume(2 * MAX_FRAME_BYTES);
    expect(stage.did()).toEqual([`window 1 +${2 * MAX_FRAME_BYTES}`]);
    // The rest is dropped with the stream; the connection gets all of it back.
    for (const id of [3, 5]) stage.receive(stage.headers(id, 0x4), ...Array.from({ length: 3 }, () => data(id, MAX_FRAME_BYTES)));
    stage.receive(numberFrame(FrameType.resetStream, 1, 8), numberFrame(FrameType.resetStream, 3, 8));
    stage.streams[2]?.reset(8);
    const given = stage.did().filter((line) => line.startsWith("window 0"));
    expect(given.length).toBeGreaterThan(0);
  });

  test("DATA comes in pieces as they arrive; a stream that has ended still holds what nobody has taken", () => {
    const stage = new Stage().begin();
    stage.reads = false;
    stage.receive(stage.headers(1, 0x4));
    const bytes = data(1, 100, 0x1);
    stage.receive(bytes.subarray(0, 20), bytes.subarray(20, 50), bytes.subarray(50));
    expect(stage.told.slice(1)).toEqual(["data 1 11", "data 1 30", "data 1 59 end"]);
    stage.streams[0]?.end();
    stage.did();
    expect(stage.streams[0]?.held).toBe(100);
    stage.streams[0]?.reset(8);
    expect(stage.streams[0]?.held).toBe(0);
  });

  test("a window grows while everything is passed on at once, within the budget of all connections", () => {
    const before = grantedWindowBytes();
    const window = new ReceiveWindow(1000, 4000);
    const increments = Array.from({ length: 6 }, () => {
      expect(window.received(500)).toBe(true);
      return window.passed(500);
    });
    expect(increments[0]).toBe(1500);
    expect(increments.slice(1).reduce((a, b) => a + b, 0)).toBeGreaterThan(2000);
    expect(grantedWindowBytes() - before).toBe(3000);
    window.release();
    expect(grantedWindowBytes()).toBe(before);
    const held = new ReceiveWindow(1000, 4000);
    held.received(1000);
    expect(held.passed(500)).toBe(500);
    expect(held.received(501)).toBe(false);
  });

  test("bytes in tiny pieces wait in few blocks", () => {
    const queue = new ByteQueue();
    const chunk = Buffer.alloc(100_000, 1);
    for (let at = 0; at < 50_000; at++) queue.push(chunk.subarray(at, at + 1));
    expect(queue.length).toBe(50_000);
    let pieces = 0;
    let total = 0;
    while (queue.length > 0) {
      total += queue.take(1e6).length;
      pieces++;
    }
    expect({ pieces, total }).toEqual({ pieces: 4, total: 50_000 });
    queue.push(Buffer.from("ab"));
    expect(queue.take(1).toString()).toBe("a");
    queue.push(Buffer.from("cd"));
    expect(queue.take(9).toString() + queue.take(9).toString()).toBe("bcd");
  });
});

test("threat-16 many small frames at once are read by turns, none is lost", () => {
  const stage = new Stage().begin();
  stage.receive(stage.headers(1, 0x4));
  stage.session.receive(Buffer.concat(Array.from({ length: 1200 }, () => data(1, 1))));
  const read = () => stage.told.filter((line) => line === "data 1 1").length;
  expect([read(), stage.session.interrupted]).toEqual([512, true]);
  stage.session.receive(Buffer.alloc(0));
  expect([read(), stage.session.interrupted]).toEqual([1024, true]);
  stage.session.receive(data(1, 1, 1));
  expect([read(), stage.session.interrupted]).toEqual([1200, false]);
  expect(stage.told.at(-1)).toBe("data 1 1 end");
});

test("threat-16 many requests at once are read by turns", () => {
  const stage = new Stage().begin();
  const heads = Array.from({ length: 38 }, (_, index) => stage.headers(2 * index + 1));
  stage.session.receive(Buffer.concat(heads));
  expect([stage.streams.length, stage.session.interrupted]).toEqual([16, true]);
  stage.session.receive(frame(FrameType.ping, 0, 0, Buffer.alloc(8)));
  expect([stage.streams.length, stage.session.interrupted]).toEqual([32, true]);
  expect(stage.did()).not.toContain("ping ack");
  stage.session.receive(Buffer.alloc(0));
  expect([stage.streams.length, stage.session.interrupted]).toEqual([38, false]);
  expect(stage.did()).toEqual(["ping ack"]);
});

describe("GOAWAY", () => {
  test("of a server: streams that it has not begun are refused, others go on, none is opened", () => {
    const stage = new Stage("client").begin();
    stage.request();
    stage.request();
    stage.did();
    stage.receive(goawayFrame(1, 0));
    expect(stage.told).toEqual(["closed 3 refusedStream"]);
    expect(stage.session.hasRoom).toBe(false);
    stage.receive(stage.headers(1, 0x5, RESPONSE));
    expect(stage.told.at(-1)).toBe("finished 1");
  });

  test("a server's limit of streams is kept", () => {
    const stage = new Stage("client").begin().receive(settingsFrame([[3, 1]]));
    stage.request();
    expect(stage.session.hasRoom).toBe(false);
    stage.receive(stage.headers(1, 0x5, RESPONSE));
    expect(stage.session.hasRoom).toBe(true);
  });
});

/** Small, fast, and the same each time. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("whatever comes, in whatever pieces: no fault, and nothing that grows", () => {
  const rounds = process.env["LONG_TESTS"] === undefined ? 3000 : 1_000_000;
  const next = random(7);
  let ended = 0;
  const granted = grantedWindowBytes();
  for (let round = 0; round < rounds; round++) {
    const stage = new Stage(round % 4 === 0 ? "client" : "server");
    if (round % 4 === 0) stage.begin().request(false);
    const parts = [
      ...(round % 4 === 0 ? [] : [PREFACE, settingsFrame([[4, next(1e6)]])]),
      stage.headers(1, next(64)),
      data(1, next(200), next(16)),
      stage.headers(3, 0x4),
      frame(next(12), next(64), next(6), Buffer.alloc(next(12), next(256))),
      numberFrame(FrameType.windowUpdate, next(4), next(1e6)),
      data(3, next(200), 1),
      stage.headers(3, 0x5, [["x", "y"]]),
    ];
    const bytes = Buffer.concat(parts);
    for (let flips = next(6); flips > 0; flips--) bytes[next(bytes.length)] = next(256);
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + next(300);
      stage.receive(bytes.subarray(at, at + size));
      at += size;
    }
    stage.did();
    if (stage.failure !== "") ended++;
    expect(stage.sent).toBeLessThan(4000);
    stage.session.close();
    expect(stage.session.active).toBe(0);
  }
  expect(ended).toBeGreaterThan(rounds / 10);
  expect(grantedWindowBytes()).toBe(granted);
});
