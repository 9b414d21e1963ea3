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
