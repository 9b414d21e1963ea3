import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { OpenShellError } from "../../../error.ts";
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
    yield* packFile(entry, name, sent);
  }
  yield TAR_END;
}

function* packFile(entry: LocalEntry, name: string, sent: (bytes: number) => void): Generator<Uint8Array> {
  // Not followed, and not waited for: it may have been replaced by a link or a pipe since it was listed.
  const fd = openSync(entry.source, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
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

function changed({ source }: LocalEntry): OpenShellError {
  return new OpenShellError("aborted", `${source} changed while it was being copied`, { next: "try again when nothing writes there" });
}
