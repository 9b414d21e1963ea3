import { expect, test } from "bun:test";
import { ReceivedBody } from "./received-body.ts";

function open() {
  const told: string[] = [];
  const tell = (what: string) => () => void told.push(what);
  return { told, body: new ReceivedBody({ pause: tell("pause"), resume: tell("resume"), cancel: tell("cancel") }) };
}

async function rest(body: ReceivedBody): Promise<{ readonly bytes: Buffer; readonly largest: number }> {
  const pieces: Uint8Array[] = [];
  for (let piece = await body.read(); piece.value !== undefined; piece = await body.read()) pieces.push(piece.value);
  return { bytes: Buffer.concat(pieces), largest: Math.max(...pieces.map(({ length }) => length)) };
}

test("threat-28 the source is stopped while an answer is not read, and goes on when it is", async () => {
  const { told, body } = open();
  const sent = Buffer.from(Array.from({ length: 400_000 }, (_, at) => at % 251));
  body.add(sent.subarray(0, 100_000));
  expect(told).toEqual([]);
  body.add(sent.subarray(100_000));
  body.add(Buffer.alloc(0));
  expect(told).toEqual(["pause"]);
  body.finish();
  const { bytes, largest } = await rest(body);
  expect(bytes.equals(sent)).toBe(true);
  expect(largest).toBeLessThanOrEqual(65_536);
  expect(told).toEqual(["pause", "resume"]);
});

test("reading makes room: the source goes on before the end", async () => {
  const { told, body } = open();
  body.add(Buffer.alloc(200_000));
  await body.read();
  await body.read();
  expect(told).toEqual(["pause", "resume"]);
});

test("single bytes are collected", async () => {
  const { body } = open();
  for (let at = 0; at < 10_000; at++) body.add(Buffer.of(at & 255));
  body.finish();
  const { bytes, largest } = await rest(body);
  expect(bytes.equals(Buffer.from(Array.from({ length: 10_000 }, (_, at) => at & 255)))).toBe(true);
  expect(largest).toBeGreaterThan(1000);
});

test("who waits for a piece gets it, the end, or the fault", async () => {
  const { body } = open();
  const first = body.read();
  body.add(Buffer.from("a"));
  expect(Buffer.from((await first).value ?? []).toString()).toBe("a");
  const end = body.read();
  body.finish();
  expect(await end).toEqual({ done: true });
  const broken = open().body;
  broken.add(Buffer.from("half"));
  broken.fail();
  expect((await broken.read()).done).toBe(false);
  await expect(broken.read()).rejects.toThrow("the connection broke");
});

test("what nobody wants is not kept", async () => {
  const { told, body } = open();
  body.add(Buffer.alloc(100));
  const waiting = open();
  const read = waiting.body.read();
  await Promise.all([body.cancel(), waiting.body.cancel()]);
  body.add(Buffer.alloc(100));
  expect(told).toEqual(["cancel"]);
  expect([await body.read(), await read]).toEqual([{ done: true }, { done: true }]);
  const whole = open();
  whole.body.finish();
  await whole.body.cancel();
  expect(whole.told).toEqual([]);
});
