import { expect, test } from "bun:test";
import { BLOCK_BYTES } from "./tar-entry.ts";
import { type TarEvent, TarReader } from "./tar-reader.ts";
import { TAR_END, tarHeader, type WrittenEntry } from "./tar-writer.ts";

function entry(overrides: Partial<WrittenEntry>): WrittenEntry {
  return { kind: "file", name: "dir/file", mode: 0o644, size: 0, modified: 1_700_000_000, ...overrides };
}

function read(archive: Uint8Array, pieceBytes = archive.length): TarEvent[] {
  const reader = new TarReader();
  const events: TarEvent[] = [];
  for (let at = 0; at < archive.length; at += pieceBytes) events.push(...reader.push(archive.subarray(at, at + pieceBytes)));
  reader.finish();
  return events;
}

function archive(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...parts, TAR_END]);
}

const padded = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(BLOCK_BYTES - text.length)]);

const odd: readonly Partial<WrittenEntry>[] = [
  { name: "plain" },
  { name: `${"long/".repeat(60)}name` },
  { name: "grüße/日本語" },
  { kind: "directory", name: "dir/" },
  { kind: "symlink", name: "link", target: "t".repeat(300) },
  { mode: 0o755, modified: 0 },
];
for (const overrides of odd) {
  test(`what is written is read again: ${JSON.stringify(overrides).slice(0, 60)}`, () => {
    const written = entry(overrides);
    const [first] = read(archive(tarHeader(written)));
    if (first?.kind !== "entry") throw new Error("no entry");
    expect(first.entry).toEqual({ target: "", ...written, size: 0 } as typeof first.entry);
  });
}

test("the system's tar reads what we write", async () => {
  const child = Bun.spawn(["tar", "-tvf", "-"], {
    stdin: archive(tarHeader(entry({ size: 5, name: "ü".repeat(80) })), padded("hello")),
    stdout: "pipe",
    env: { LC_ALL: "C.UTF-8", PATH: "/usr/bin:/bin" },
  });
  expect(await new Response(child.stdout).text()).toContain(`${"ü".repeat(80)}`);
  expect(await child.exited).toBe(0);
});

test("content comes in pieces of any size, then the next entry", () => {
  const bytes = archive(tarHeader(entry({ size: 5 })), padded("hello"), tarHeader(entry({ name: "next" })));
  for (const size of [1, 7, 511, 512, 513]) {
    const events = read(bytes, size);
    const text = events.map((event) => (event.kind === "content" ? Buffer.from(event.bytes).toString() : `<${event.kind}>`)).join("");
    expect(text).toBe("<entry>hello<end><entry><end>");
  }
});

test("nothing after the end of an archive is read", () => {
  expect(read(Buffer.concat([archive(tarHeader(entry({}))), Buffer.from("garbage that is no header")])).length).toBe(2);
});

const broken: readonly (readonly [string, Uint8Array])[] = [
  [
    "a wrong checksum",
    ((): Buffer => {
      const header = Buffer.from(tarHeader(entry({})));
      header[0] = 0x7a;
      return header;
    })(),
  ],
  ["an end within a header", tarHeader(entry({})).subarray(0, 100)],
  ["an end within a content", Buffer.concat([tarHeader(entry({ size: 1000 })), Buffer.alloc(100)])],
  ["noise", Buffer.alloc(BLOCK_BYTES, 0x41)],
];
for (const [name, bytes] of broken) test(`${name} is an error`, () => expect(() => read(bytes)).toThrow("the sandbox sent an archive"));

test("an endless name is refused before it is kept", () => {
  const header = Buffer.from(tarHeader(entry({ size: 100 * 1024 * 1024 })));
  header.write("L", 156);
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  expect(() => new TarReader().push(header)).toThrow("at most 65536");
});

test("any bytes are an error or an archive, never more memory than they are", () => {
  for (let seed = 1; seed < 300; seed += 1) {
    const bytes = Buffer.concat([tarHeader(entry({ size: 5 })), padded("hello"), TAR_END]);
    for (let index = 0; index < 8; index += 1) bytes[(seed * 7919 + index * 104_729) % bytes.length] = (seed * 31 + index * 17) & 0xff;
    try {
      read(bytes);
    } catch (error) {
      expect(String(error)).toContain("archive");
    }
  }
});
