import { expect, test } from "bun:test";
import { OutputRing } from "./output-ring.ts";

const text = (ring: OutputRing): string =>
  ring
    .pieces()
    .map(({ stream, piece }) => `${stream === "stderr" ? "!" : ""}${Buffer.from(piece)}`)
    .join("|");

test("the last bytes stay, in order and by stream", () => {
  const ring = new OutputRing(8);
  ring.push("stdout", Buffer.from("abcd"));
  ring.push("stderr", Buffer.from("ef"));
  expect(text(ring)).toBe("abcd|!ef");
  ring.push("stdout", Buffer.from("ghijk"));
  expect(text(ring)).toBe("d|!ef|ghijk");
  ring.push("stdout", Buffer.from("0123456789"));
  expect(text(ring)).toBe("23456789");
});

test("a buffer that is used again changes nothing", () => {
  const ring = new OutputRing(8);
  const buffer = Buffer.from("ab");
  ring.push("stdout", buffer);
  buffer.fill("x");
  expect(text(ring)).toBe("ab");
});

test("a program that writes byte by byte costs no piece for each, whatever streams it writes to", () => {
  const ring = new OutputRing(256 * 1024);
  for (let index = 0; index < 300_000; index += 1) ring.push("stdout", Buffer.from([index & 0xff]));
  const pieces = ring.pieces();
  expect(pieces.length).toBeLessThan(100);
  const kept = Buffer.concat(pieces.map(({ piece }) => piece));
  expect(kept.length).toBe(256 * 1024);
  expect(kept.every((byte, at) => byte === ((300_000 - 256 * 1024 + at) & 0xff))).toBe(true);
  for (let index = 0; index < 20_000; index += 1) ring.push(index % 2 === 0 ? "stderr" : "stdout", Buffer.from([index & 0xff]));
  expect(ring.pieces().length).toBeLessThanOrEqual(4096);
  expect(ring.pieces().at(-1)).toEqual({ stream: "stdout", piece: Buffer.from([19_999 & 0xff]) });
});

test("any pieces give the same end as their whole", () => {
  const whole = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * 7919) & 0xff));
  for (const step of [1, 3, 100, 4095, 4096, 4097, 9000, 50_000]) {
    const ring = new OutputRing(10_000);
    for (let at = 0; at < whole.length; at += step) ring.push("stdout", whole.subarray(at, at + step));
    expect(Buffer.concat(ring.pieces().map(({ piece }) => piece)).equals(whole.subarray(-10_000))).toBe(true);
  }
});
