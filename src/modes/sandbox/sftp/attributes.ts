import type { Stats } from "node:fs";
import type { PacketReader, PacketWriter } from "./packet.ts";

/** Which attributes a message carries (section 5). */
const SIZE = 0x1;
const OWNER = 0x2;
const PERMISSIONS = 0x4;
const TIMES = 0x8;
const EXTENDED = 0x8000_0000;

/** What a client wants a file to be; absent: as it is. */
export interface Attributes {
  readonly size?: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly permissions?: number;
  /** Seconds since the epoch. */
  readonly times?: { readonly accessed: number; readonly modified: number };
}

export function readAttributes(reader: PacketReader): Attributes {
  const flags = reader.uint32();
  const size = flags & SIZE ? { size: reader.uint64() } : {};
  const owner = flags & OWNER ? { owner: { uid: reader.uint32(), gid: reader.uint32() } } : {};
  const permissions = flags & PERMISSIONS ? { permissions: reader.uint32() & 0o7777 } : {};
  const times = flags & TIMES ? { times: { accessed: reader.uint32(), modified: reader.uint32() } } : {};
  if (flags & EXTENDED) {
    for (let left = reader.uint32(); left > 0; left -= 1) {
      reader.string();
      reader.string();
    }
  }
  return { ...size, ...owner, ...permissions, ...times };
}

export function writeAttributes(writer: PacketWriter, stats: Stats): PacketWriter {
  return writer
    .uint32(SIZE | OWNER | PERMISSIONS | TIMES)
    .uint64(stats.size)
    .uint32(stats.uid)
    .uint32(stats.gid)
    .uint32(stats.mode)
    .uint32(seconds(stats.atimeMs))
    .uint32(seconds(stats.mtimeMs));
}

const KINDS: readonly (readonly [(stats: Stats) => boolean, string])[] = [
  [(stats) => stats.isDirectory(), "d"],
  [(stats) => stats.isSymbolicLink(), "l"],
  [(stats) => stats.isBlockDevice(), "b"],
  [(stats) => stats.isCharacterDevice(), "c"],
  [(stats) => stats.isFIFO(), "p"],
  [(stats) => stats.isSocket(), "s"],
];

/** The line of `ls -l` that clients show to people. */
export function longName(name: Buffer, stats: Stats): Buffer {
  const kind = KINDS.find(([is]) => is(stats))?.[1] ?? "-";
  const letters = Array.from({ length: 9 }, (_, index) => (stats.mode & (0o400 >> index) ? ("rwx"[index % 3] ?? "") : "-")).join("");
  const time = new Date(stats.mtimeMs).toISOString().slice(0, 16).replace("T", " ");
  const columns = [
    `${kind}${letters}`,
    String(stats.nlink).padStart(4),
    String(stats.uid).padEnd(8),
    String(stats.gid).padEnd(8),
    String(stats.size).padStart(8),
    time,
  ];
  return Buffer.concat([Buffer.from(`${columns.join(" ")} `), name]);
}

function seconds(milliseconds: number): number {
  return Math.min(Math.max(Math.floor(milliseconds / 1000), 0), 0xffff_ffff);
}
