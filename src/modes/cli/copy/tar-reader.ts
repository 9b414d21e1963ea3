import { OpenShellError } from "../../../error.ts";
import { BLOCK_BYTES, type EntryKind, paddingOf, type TarEntry, TYPE_FLAGS } from "./tar-entry.ts";

/** A name, a target or a set of pax records; a path has at most 4 KiB. */
const MAX_EXTENSION_BYTES = 64 * 1024;

/** What comes out of an archive, in order: each entry, then its content in pieces, then `end` of it. */
export type TarEvent =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  | { readonly kind: "content"; readonly bytes: Uint8Array }
  | { readonly kind: "end" };

type Expected =
  | { readonly what: "header" }
  | { readonly what: "content"; left: number; readonly padding: number }
  | { readonly what: "extension"; readonly flag: string; readonly size: number }
  | { readonly what: "padding"; left: number }
  | { readonly what: "nothing" };

/** Reads an archive (ustar, pax, GNU long names) from bytes in any pieces. Trusts nothing: whatever is not well-formed is an error. */
export class TarReader {
  #rest: Buffer = Buffer.alloc(0);
  #expected: Expected = { what: "header" };
  /** What extension headers say of the next entry. */
  #next: { name?: string; target?: string; size?: number } = {};

  push(bytes: Uint8Array): TarEvent[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const events: TarEvent[] = [];
    while (this.#step(events));
    return events;
  }

  /** Throws when the archive has ended within an entry. */
  finish(): void {
    if (this.#expected.what !== "nothing" && (this.#expected.what !== "header" || this.#rest.length > 0))
      throw malformed("it ends too soon");
  }

  #step(events: TarEvent[]): boolean {
    const expected = this.#expected;
    switch (expected.what) {
      case "nothing":
        this.#rest = Buffer.alloc(0);
        return false;
      case "header":
        return this.#header(events);
      case "extension":
        return this.#extension(expected);
      case "padding":
        return this.#padding(expected);
      case "content":
        return this.#content(expected, events);
    }
  }

  #header(events: TarEvent[]): boolean {
    if (this.#rest.length < BLOCK_BYTES) return false;
    const header = this.#take(BLOCK_BYTES);
    if (header.every((byte) => byte === 0)) {
      this.#expected = { what: "nothing" };
      return true;
    }
    checkSum(header);
    const flag = String.fromCharCode(header[156] ?? 0);
    const size = number(header, 124, 12);
    if (flag === TYPE_FLAGS.pax || flag === TYPE_FLAGS.globalPax || flag === TYPE_FLAGS.longName || flag === TYPE_FLAGS.longTarget) {
      if (size > MAX_EXTENSION_BYTES) throw malformed(`an extension of ${size} bytes, at most ${MAX_EXTENSION_BYTES} are accepted`);
      this.#expected = { what: "extension", flag, size };
      return true;
    }
    const kind = kindOf(flag);
    const content = kind === "file" ? (this.#next.size ?? size) : 0;
    if (kind === "other" && size > 0) throw malformed("an entry that is no file has content");
    const prefix = text(header, 345, 155);
    const short = text(header, 0, 100);
    const entry: TarEntry = {
      kind,
      name: this.#next.name ?? (prefix === "" || text(header, 257, 6) !== "ustar" ? short : `${prefix}/${short}`),
      target: this.#next.target ?? text(header, 157, 100),
      mode: number(header, 100, 8),
      size: content,
      modified: number(header, 136, 12),
    };
    this.#next = {};
    events.push({ kind: "entry", entry });
    this.#expected = { what: "content", left: content, padding: paddingOf(content) };
    return true;
  }

  #content(expected: Extract<Expected, { what: "content" }>, events: TarEvent[]): boolean {
    if (expected.left > 0) {
      if (this.#rest.length === 0) return false;
      const bytes = this.#take(Math.min(expected.left, this.#rest.length));
      expected.left -= bytes.length;
      events.push({ kind: "content", bytes });
      if (expected.left > 0) return false;
    }
    events.push({ kind: "end" });
    this.#expected = { what: "padding", left: expected.padding };
    return true;
  }

  #padding(expected: Extract<Expected, { what: "padding" }>): boolean {
    expected.left -= this.#take(Math.min(expected.left, this.#rest.length)).length;
    if (expected.left > 0) return false;
    this.#expected = { what: "header" };
    return true;
  }

  #extension({ flag, size }: Extract<Expected, { what: "extension" }>): boolean {
    const whole = size + paddingOf(size);
    if (this.#rest.length < whole) return false;
    const bytes = this.#take(whole).subarray(0, size);
    if (flag === TYPE_FLAGS.longName) this.#next.name = untilNul(bytes);
    else if (flag === TYPE_FLAGS.longTarget) this.#next.target = untilNul(bytes);
    else if (flag === TYPE_FLAGS.pax) this.#records(bytes);
    this.#expected = { what: "header" };
    return true;
  }

  #records(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const blank = bytes.indexOf(0x20, at);
      const length = Number(bytes.toString("latin1", at, blank < 0 ? at : blank));
      const record = bytes.subarray(blank + 1, at + length - 1);
      const equals = record.indexOf(0x3d);
      if (!Number.isInteger(length) || length < 5 || at + length > bytes.length || equals < 1)
        throw malformed("its pax records are broken");
      const value = record.subarray(equals + 1);
      const key = record.toString("latin1", 0, equals);
      if (key === "path") this.#next.name = value.toString();
      else if (key === "linkpath") this.#next.target = value.toString();
      else if (key === "size") this.#next.size = decimal(value.toString());
      else if (key.startsWith("GNU.sparse.")) throw malformed("it has files with holes");
      at += length;
    }
  }

  #take(count: number): Buffer {
    const piece = this.#rest.subarray(0, count);
    this.#rest = this.#rest.subarray(count);
    return piece;
  }
}

function kindOf(flag: string): EntryKind {
  if (flag === TYPE_FLAGS.file || flag === "\0" || flag === "7") return "file";
  if (flag === TYPE_FLAGS.directory) return "directory";
  if (flag === TYPE_FLAGS.symlink) return "symlink";
  if (flag === TYPE_FLAGS.hardlink) return "hardlink";
  return "other";
}

function checkSum(header: Buffer): void {
  const said = number(header, 148, 8);
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (said !== sum) throw malformed("a checksum is wrong");
}

/** Octal text, or GNU's big-endian binary with the highest bit set. */
function number(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if ((field[0] ?? 0) & 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    if (!Number.isSafeInteger(value)) throw malformed("a number is too large");
    return value;
  }
  const digits = untilNul(field).trim();
  if (!/^[0-7]*$/.test(digits)) throw malformed("a number is no number");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

function decimal(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw malformed("a size is no number");
  return value;
}

function text(header: Buffer, at: number, length: number): string {
  return untilNul(header.subarray(at, at + length));
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

function malformed(what: string): OpenShellError {
  return new OpenShellError("failed_precondition", `the sandbox sent an archive that is not one: ${what}`);
}
