/** What an entry of an archive is. Everything else that tar knows (devices, pipes) has no place in a copy. */
export type EntryKind = "file" | "directory" | "symlink" | "hardlink" | "other";

/** One entry of an archive. Names are text as the archive has it; whoever uses them checks them. */
export interface TarEntry {
  readonly kind: EntryKind;
  readonly name: string;
  /** Of links. */
  readonly target: string;
  readonly mode: number;
  /** Bytes of content. */
  readonly size: number;
  /** Seconds since the epoch. */
  readonly modified: number;
}

/** Everything in an archive is a multiple of this (POSIX.1-1988 ustar). */
export const BLOCK_BYTES = 512;

/** Type flags of ustar and pax. */
export const TYPE_FLAGS = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  directory: "5",
  pax: "x",
  globalPax: "g",
  longName: "L",
  longTarget: "K",
} as const;

/** Bytes after a content up to the next block. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}
