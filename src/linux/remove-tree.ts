import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, readdir, rename, rmdir, unlink } from "node:fs/promises";

/** Files that are removed at once; more gain nothing, as a directory takes one change at a time. */
const AT_ONCE = 32;

/**
 * Removes a directory that a sandbox filled, which may hold millions of files or be thousands of directories deep, without keeping anybody
 * else waiting: what is inside a directory inside is moved to the top first, so that no path gets long and the work grows with the number of
 * files alone. Interrupted, it is begun anew. No link is followed; nobody may change the tree meanwhile. Missing is no error.
 */
export async function removeTree(top: string): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  const first = Buffer.from(top);
  const prefix = `.removed-${randomBytes(6).toString("hex")}-`;
  let moved = 0;
  const waiting: Buffer[] = [first];
  try {
    for (let at = waiting.shift(); at !== undefined; at = waiting.pop()) {
      // What its owner may not write can be neither moved nor emptied by its owner; root can.
      if (!isRoot) await chmod(at, 0o700);
      for (const path of await unlinkFiles(at)) {
        const place = at === first ? path : below(first, Buffer.from(`${prefix}${moved++}`));
        if (!isRoot) await chmod(path, 0o700);
        if (place !== path) await rename(path, place);
        waiting.push(place);
      }
      if (at !== first) await rmdir(at);
    }
    await rmdir(top);
  } catch (error) {
    // Somebody else has removed it; what is missing further down is no sign of that.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || existsSync(top)) throw error;
  }
}

/** Removes what is no directory; the directories are left, and returned. */
async function unlinkFiles(directory: Buffer): Promise<Buffer[]> {
  // Names are bytes: a program inside chooses them.
  const paths = (await readdir(directory, { encoding: "buffer" })).map((name) => below(directory, Buffer.from(name)));
  const left: Buffer[] = [];
  for (let from = 0; from < paths.length; from += AT_ONCE) {
    const piece = paths.slice(from, from + AT_ONCE).map(async (path) => {
      await unlink(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EISDIR") throw error;
        left.push(path);
      });
    });
    await Promise.all(piece);
  }
  return left;
}

function below(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from("/"), name]);
}
