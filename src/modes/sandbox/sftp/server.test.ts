import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAX_PACKET_BYTES, PACKET, PacketCutter, PacketReader, PacketWriter, STATUS } from "./packet.ts";
import { SftpServer } from "./server.ts";

let directory: string;
let server: SftpServer;

beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "sftp-")));
  server = new SftpServer(directory);
});

afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Sends one request and reads the type, the id and the rest of the answer. */
function ask(
  type: number,
  ...fields: readonly (string | Uint8Array | number | { readonly offset: number })[]
): { type: number; reader: PacketReader } {
  const writer = new PacketWriter(type).uint32(7);
  for (const field of fields) {
    if (typeof field === "number") writer.uint32(field);
    else if (typeof field === "object" && !(field instanceof Uint8Array)) writer.uint64(field.offset);
    else writer.string(field);
  }
  const [answer] = new PacketCutter().push(server.answer(writer.finish().subarray(4)));
  const reader = new PacketReader(answer as Buffer);
  const kind = reader.byte();
  expect(reader.uint32()).toBe(7);
  return { type: kind, reader };
}

function status(answer: ReturnType<typeof ask>): number {
  expect(answer.type).toBe(PACKET.status);
  return answer.reader.uint32();
}

function handle(answer: ReturnType<typeof ask>): Buffer {
  expect(answer.type).toBe(PACKET.handle);
  return Buffer.from(answer.reader.string());
}

const WRITE_NEW = 0x2 | 0x8 | 0x10;
const NO_ATTRIBUTES = 0;

test("a file is written, read, described and removed", () => {
  const path = join(directory, "file");
  const file = handle(ask(PACKET.open, path, WRITE_NEW, NO_ATTRIBUTES));
  expect(status(ask(PACKET.write, file, { offset: 0 }, "hello "))).toBe(STATUS.ok);
  expect(status(ask(PACKET.write, file, { offset: 6 }, "world"))).toBe(STATUS.ok);
  expect(status(ask(PACKET.close, file))).toBe(STATUS.ok);
  expect(readFileSync(path, "utf8")).toBe("hello world");

  const again = handle(ask(PACKET.open, path, 0x1, NO_ATTRIBUTES));
  expect(ask(PACKET.read, again, { offset: 6 }, 100).reader.text()).toBe("world");
  expect(status(ask(PACKET.read, again, { offset: 11 }, 100))).toBe(STATUS.eof);
  const described = ask(PACKET.fstat, again);
  expect(described.type).toBe(PACKET.attributes);
  described.reader.uint32();
  expect(described.reader.uint64()).toBe(11);
  ask(PACKET.close, again);
  expect(status(ask(PACKET.remove, path))).toBe(STATUS.ok);
  expect(status(ask(PACKET.lstat, path))).toBe(STATUS.noSuchFile);
});

test("appending ignores the offset, exclusive creation finds what is there", () => {
  const path = join(directory, "appended");
  writeFileSync(path, "one ");
  const file = handle(ask(PACKET.open, path, 0x2 | 0x4, NO_ATTRIBUTES));
  ask(PACKET.write, file, { offset: 0 }, "two");
  ask(PACKET.close, file);
  expect(readFileSync(path, "utf8")).toBe("one two");
  expect(status(ask(PACKET.open, path, 0x2 | 0x8 | 0x20, NO_ATTRIBUTES))).toBe(STATUS.failure);
});

test("a directory is listed once, then ends", () => {
  const path = join(directory, "list");
  mkdirSync(path);
  for (let index = 0; index < 150; index += 1) writeFileSync(join(path, `f${index}`), "");
  const open = handle(ask(PACKET.opendir, path));
  const names: string[] = [];
  for (;;) {
    const { type, reader } = ask(PACKET.readdir, open);
    if (type === PACKET.status) {
      expect(reader.uint32()).toBe(STATUS.eof);
      break;
    }
    for (let left = reader.uint32(); left > 0; left -= 1) {
      names.push(reader.text());
      expect(reader.text()).toContain(names.at(-1) ?? "");
      for (let field = 0; field < 8; field += 1) reader.uint32();
    }
  }
  expect(names.length).toBe(152);
  expect(names).toContain("f149");
});

test("rename does not replace, posix-rename does", () => {
  const [one, two] = [join(directory, "one"), join(directory, "two")];
  writeFileSync(one, "1");
  writeFileSync(two, "2");
  expect(status(ask(PACKET.rename, one, two))).toBe(STATUS.failure);
  expect(readFileSync(two, "utf8")).toBe("2");
  expect(status(ask(PACKET.extended, "posix-rename@openssh.com", one, two))).toBe(STATUS.ok);
  expect(readFileSync(two, "utf8")).toBe("1");
  expect(status(ask(PACKET.rename, two, one))).toBe(STATUS.ok);
  expect(readFileSync(one, "utf8")).toBe("1");
});

test("links, modes and times", () => {
  const [file, link] = [join(directory, "target"), join(directory, "link")];
  writeFileSync(file, "");
  expect(status(ask(PACKET.symlink, "target", link))).toBe(STATUS.ok);
  const read = ask(PACKET.readlink, link).reader;
  expect([read.uint32(), read.text()]).toEqual([1, "target"]);
  expect(status(ask(PACKET.setstat, file, 0x4 | 0x8, 0o640, 1000, 2000))).toBe(STATUS.ok);
  const stats = statSync(file);
  expect([stats.mode & 0o777, stats.mtimeMs]).toEqual([0o640, 2_000_000]);
});

test("realpath follows what is there and tidies what is not", () => {
  mkdirSync(join(directory, "real"));
  symlinkSync("real", join(directory, "alias"));
  const of = (path: string): string => {
    const { reader } = ask(PACKET.realpath, path);
    reader.uint32();
    return reader.text();
  };
  expect(of(".")).toBe(directory);
  expect(of("alias")).toBe(join(directory, "real"));
  expect(of("missing/../other/./file")).toBe(join(directory, "other/file"));
});

test("names that are no text stay what they are", () => {
  const name = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0xfe])]);
  ask(PACKET.close, handle(ask(PACKET.open, name, WRITE_NEW, NO_ATTRIBUTES)));
  const list = handle(ask(PACKET.opendir, directory));
  const { reader } = ask(PACKET.readdir, list);
  const names: string[] = [];
  for (let left = reader.uint32(); left > 0; left -= 1) {
    names.push(reader.string().toString("hex"));
    reader.string();
    for (let field = 0; field < 8; field += 1) reader.uint32();
  }
  expect(names).toContain("fffe");
});

test("what is no request is refused and changes nothing", () => {
  expect(status(ask(PACKET.open, "x"))).toBe(STATUS.badMessage);
  expect(status(ask(PACKET.remove, "a\0b"))).toBe(STATUS.badMessage);
  expect(status(ask(99))).toBe(STATUS.unsupported);
  expect(status(ask(PACKET.extended, "nobody@example.com"))).toBe(STATUS.unsupported);
  expect(status(ask(PACKET.read, Buffer.from([0, 0, 0, 99]), { offset: 0 }, 1))).toBe(STATUS.badMessage);
  const long = Buffer.alloc(4);
  long.writeUInt32BE(MAX_PACKET_BYTES + 1);
  expect(() => new PacketCutter().push(long)).toThrow("are accepted");
});

test("messages come in any pieces", () => {
  const message = new PacketWriter(PACKET.realpath).uint32(1).string(".").finish();
  const cutter = new PacketCutter();
  const found = [...Buffer.concat([message, message])].flatMap((byte) => cutter.push(Uint8Array.of(byte)));
  expect(found.map((packet) => packet.toString("hex"))).toEqual([message.subarray(4).toString("hex"), message.subarray(4).toString("hex")]);
});
