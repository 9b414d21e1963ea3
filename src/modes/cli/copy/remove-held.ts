import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { chmod, readdir, rename, rmdir, unlink } from "node:fs/promises";
import { O_PATH } from "../../../linux/descriptors.ts";
import { removeTree } from "../../../linux/remove-tree.ts";
import type { HeldTree } from "./held-tree.ts";

/** Begun anew that often where somebody puts things into what is removed; then it is left. */
const MAX_ROUNDS = 20;

/** Files that are removed at once; more gain nothing, as a directory takes one change at a time. */
const AT_ONCE = 32;

/**
 * Empties a held directory that others may change meanwhile, without touching anything outside of it: every directory is entered through no
 * link, and what is inside is named by its descriptor. As `removeTree`, it moves directories to the top, so that no depth matters.
 */
export async function emptyHeld(tree: HeldTree): Promise<void> {
  if (process.platform !== "linux") return removeTree(tree.base);
  const prefix = `.removed-${randomBytes(6).toString("hex")}-`;
  let moved = 0;
  await tree.inDirectory(tree.base, async (top) => {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const names = await unlinkFiles(Buffer.from(top));
      if (names.length === 0) return;
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        const at = below(Buffer.from(top), name);
        // Another one than before, perhaps: whatever it is, it is removed by its name in the next round.
        const inside = await emptied(at, async (child) => {
          const to = Buffer.from(`${prefix}${moved++}`);
          await rename(child, below(Buffer.from(top), to)).catch(gone);
          return to;
        });
        names.push(...inside);
        await rmdir(at).catch(gone);
      }
    }
  });
}

/** Removes the files of a directory, and moves the directories in it; returns where to. */
async function emptied(at: Buffer, move: (child: Buffer) => Promise<Buffer>): Promise<readonly Buffer[]> {
  let fd: number;
  try {
    fd = openSync(at, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    gone(error);
    return [];
  }
  const place = Buffer.from(`/proc/self/fd/${fd}`);
  try {
    // What its owner may not write can be neither moved nor emptied by its owner; root can.
    if (process.getuid?.() !== 0) await chmod(place, 0o700);
    const to: Buffer[] = [];
    for (const name of await unlinkFiles(place)) {
      const child = below(place, name);
      if (process.getuid?.() !== 0) await mayMove(child);
      to.push(await move(child));
    }
    return to;
  } finally {
    closeSync(fd);
  }
}

/** A directory that its owner may not write cannot be moved elsewhere by its owner. */
async function mayMove(at: Buffer): Promise<void> {
  try {
    const fd = openSync(at, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    await chmod(`/proc/self/fd/${fd}`, 0o700).finally(() => closeSync(fd));
  } catch (error) {
    gone(error);
  }
}

/** Removes what is no directory; returns the names of what is left. Names are bytes: a program inside chooses them. */
async function unlinkFiles(directory: Buffer): Promise<Buffer[]> {
  const names = (await readdir(directory, { encoding: "buffer" })).map((name) => Buffer.from(name));
  const left: Buffer[] = [];
  for (let from = 0; from < names.length; from += AT_ONCE) {
    const piece = names.slice(from, from + AT_ONCE).map(async (name) => {
      await unlink(below(directory, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "EISDIR") left.push(name);
        else gone(error);
      });
    });
    await Promise.all(piece);
  }
  return left;
}

/** What has been moved, filled or exchanged meanwhile is looked at again. */
function gone(error: unknown): void {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "ENOTEMPTY" && code !== "ELOOP") throw error;
}

function below(directory: Buffer, name: Buffer): Buffer {
  return Buffer.concat([directory, Buffer.from("/"), name]);
}
