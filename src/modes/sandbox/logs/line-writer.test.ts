import { expect, test } from "bun:test";
import { Writable } from "node:stream";
import { LineWriter } from "./line-writer.ts";

/** A reader that takes a line only when it is told to. */
function slowReader() {
  const lines: string[] = [];
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      lines.push(chunk);
      waiting.push(done);
    },
  });
  return { stream, lines, read: () => waiting.shift()?.() };
}

test("a reader that stops costs at most the limit, and learns how much it missed", async () => {
  const { stream, lines, read } = slowReader();
  const writer = new LineWriter(stream, 25);
  for (let i = 0; i < 100; i++) writer.write("123456789");
  // The pipe takes the next line when the one before is read.
  for (let i = 0; i < 4; i++) {
    read();
    await Promise.resolve();
    await new Promise(setImmediate);
  }
  writer.write("later");
  expect(lines).toEqual(["123456789\n", "123456789\n", "98 log lines were dropped: nobody was reading\n"]);
  read();
  await new Promise(setImmediate);
  expect(lines.at(-1)).toBe("later\n");
  read();
  await writer.drain();
});

test("a stream that fails is ignored", async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error("no space left on device")) });
  const writer = new LineWriter(stream);
  writer.write("one");
  await new Promise(setImmediate);
  writer.write("two");
  await writer.drain();
});
