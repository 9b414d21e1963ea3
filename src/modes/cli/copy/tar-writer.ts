import { BLOCK_BYTES, paddingOf, TYPE_FLAGS } from "./tar-entry.ts";

/** What ustar's fields hold: names in bytes, sizes in eleven octal digits. */
const MAX_NAME_BYTES = 100;
const MAX_USTAR_SIZE = 0o77777777777;

export interface WrittenEntry {
  readonly kind: "file" | "directory" | "symlink";
  readonly name: string;
  readonly target?: string;
  readonly mode: number;
  readonly size?: number;
  /** Seconds since the epoch. */
  readonly modified: number;
}

/** The header of one entry: ustar, with a pax header in front where a name or size does not fit. Owners are left to who unpacks. */
export function tarHeader(entry: WrittenEntry): Uint8Array {
  const { kind, name, target = "", mode, size = 0, modified } = entry;
  const records = [
    ...(fits(name) ? [] : [paxRecord("path", name)]),
    ...(fits(target) ? [] : [paxRecord("linkpath", target)]),
    ...(size <= MAX_USTAR_SIZE ? [] : [paxRecord("size", String(size))]),
  ];
  const header = block(TYPE_FLAGS[kind], name, target, mode, size <= MAX_USTAR_SIZE ? size : 0, modified);
  if (records.length === 0) return header;
  const pax = Buffer.concat(records);
  return Buffer.concat([block(TYPE_FLAGS.pax, "pax", "", 0o644, pax.length, modified), pax, Buffer.alloc(paddingOf(pax.length)), header]);
}

/** Two empty blocks end an archive. */
export const TAR_END: Uint8Array = Buffer.alloc(2 * BLOCK_BYTES);

function fits(text: string): boolean {
  // Text outside ASCII has no defined meaning in ustar.
  return text.length <= MAX_NAME_BYTES && /^[\x20-\x7e]*$/.test(text);
}

function block(type: string, name: string, target: string, mode: number, size: number, modified: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  const text = (value: string, at: number, length: number): void => void header.write(fits(value) ? value : "long", at, length, "latin1");
  const octal = (value: number, at: number, length: number): void =>
    void header.write(
      `${Math.max(0, Math.floor(value))
        .toString(8)
        .padStart(length - 1, "0")}\0`,
      at,
      length,
      "latin1",
    );
  text(name, 0, MAX_NAME_BYTES);
  octal(mode & 0o777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(modified, 136, 12);
  header.write("        ", 148, "latin1");
  header.write(type, 156, "latin1");
  text(target, 157, MAX_NAME_BYTES);
  header.write("ustar\x0000", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}
