import { closeSync, fstatSync, readSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
import type { HeldTree } from "./held-tree.ts";
import { paddingOf } from "./tar-entry.ts";
import { TAR_END, tarHeader } from "./tar-writer.ts";
import type { LocalEntry } from "./walk.ts";

/** Read at a time. Bytes. */
const PIECE_BYTES = 256 * 1024;

/**
 * An archive of entries. A file that has become something else since it was listed, or has got shorter, is an error: what is sent is what was
 * found. `prefix` stands in front of every name; `sent` hears how many bytes of content have gone.
 */
export async function* packTree(
  held: HeldTree,
  entries: readonly LocalEntry[],
  nameOf: (path: string) => string,
  sent: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    const name = nameOf(entry.path);
    if (entry.kind !== "file") {
      yield tarHeader({ ...entry, name: entry.kind === "directory" ? `${name}/` : name });
      continue;
    }
    yield* packFile(held, entry, name, sent);
  }
  yield TAR_END;
}

function* packFile(held: HeldTree, entry: LocalEntry, name: string, sent: (bytes: number) => void): Generator<Uint8Array> {
  const fd = openListed(held, entry);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw changed(entry);
    yield tarHeader({ ...entry, name, size: stats.size });
    for (let left = stats.size; left > 0; ) {
      const buffer = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES));
      const count = readSync(fd, buffer, 0, buffer.length, null);
      if (count === 0) throw changed(entry);
      left -= count;
      sent(count);
      yield buffer.subarray(0, count);
    }
    yield Buffer.alloc(paddingOf(stats.size));
  } finally {
    closeSync(fd);
  }
}

/** It may have been replaced by a link or a pipe since it was listed, or a directory above it by a link. */
function openListed(held: HeldTree, entry: LocalEntry): number {
  try {
    return held.openFile(entry.source);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM")
      throw new OpenShellError("permission_denied", `${entry.source} cannot be read: ${code}`, { cause });
    throw changed(entry, cause);
  }
}

function changed({ source }: LocalEntry, cause?: unknown): OpenShellError {
  return new OpenShellError("aborted", `${source} changed while it was being copied`, {
    cause,
    next: "try again when nothing writes there",
  });
}
