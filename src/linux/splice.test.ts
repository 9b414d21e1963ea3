import { afterEach, expect, test } from "bun:test";
import { closeAll, readInto, setNonBlocking, socketPair, writeAll } from "./descriptors.ts";
import { SplicePipe } from "./splice.ts";

const open: number[] = [];
afterEach(() => closeAll(open.splice(0)));

function pair(): [number, number] {
  const ends = socketPair();
  open.push(...ends);
  for (const end of ends) setNonBlocking(end);
  return ends;
}

/** Everything that can be read without waiting. */
function readAll(fd: number): Buffer {
  const chunks: Buffer[] = [];
  const chunk = Buffer.alloc(65_536);
  try {
    for (;;) {
      const count = readInto(fd, chunk);
      if (count === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, count)));
    }
  } catch {
    // EAGAIN: nothing more for now.
  }
  return Buffer.concat(chunks);
}

test("what waits at one socket comes out at the other", () => {
  using pipe = new SplicePipe();
  const [[writer, source], [destination, reader]] = [pair(), pair()];
  writeAll(writer, Buffer.from("hello"));
  expect(pipe.move(source, destination, 1 << 20)).toBeUndefined();
  expect(readAll(reader).toString()).toBe("hello");
  expect(pipe.move(source, destination, 1 << 20)).toBeUndefined();
  expect(readAll(reader)).toHaveLength(0);
});

test("what a full destination does not take is given back, and nothing of it comes out at another connection", () => {
  using pipe = new SplicePipe();
  const [[writer, source], [destination, reader]] = [pair(), pair()];
  const filler = Buffer.alloc(1 << 20, "f");
  let filled = 0;
  try {
    for (;;) {
      writeAll(destination, filler.subarray(0, 4096));
      filled += 4096;
    }
  } catch {
    // EAGAIN: full.
  }
  const secret = Buffer.from("x".repeat(10_000));
  writeAll(writer, secret);
  const rest = pipe.move(source, destination, 1 << 20);
  const arrived = readAll(reader).subarray(filled);
  expect(Buffer.concat([arrived, rest ?? Buffer.alloc(0)]).toString()).toBe(secret.toString());
  expect(rest?.length).toBeGreaterThan(0);

  const [[otherWriter, otherSource], [otherDestination, otherReader]] = [pair(), pair()];
  writeAll(otherWriter, Buffer.from("other"));
  expect(pipe.move(otherSource, otherDestination, 1 << 20)).toBeUndefined();
  expect(readAll(otherReader).toString()).toBe("other");
});

test("a closed destination gives everything back; a closed source is nobody's fault", () => {
  using pipe = new SplicePipe();
  const [[writer, source], [destination, reader]] = [pair(), pair()];
  closeAll(open.splice(open.indexOf(reader), 1));
  writeAll(writer, Buffer.from("late"));
  expect(pipe.move(source, destination, 1 << 20)?.toString()).toBe("late");
  closeAll(open.splice(open.indexOf(writer), 1));
  expect(pipe.move(source, destination, 1 << 20)).toBeUndefined();
  expect(pipe.move(-1, destination, 1 << 20)).toBeUndefined();
});
