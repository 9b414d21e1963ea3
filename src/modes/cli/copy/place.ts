import {
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmdirSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { printable } from "../../../command/printable.ts";
import { OpenShellError } from "../../../error.ts";
import { exchanged, HeldTree, openForReading, StepError } from "./held-tree.ts";
import { emptyHeld } from "./remove-held.ts";
import type { Unpacked } from "./unpack.ts";

/** What a download changed on this machine. */
export interface Placed {
  /** Paths below the destination that are new or have other content, links included. */
  readonly changed: readonly string[];
}

/** An empty place beside the destination, on the same file system, for nobody else; held open, as is what it is beside. */
export interface Staging extends AsyncDisposable {
  /** Where to unpack: right below `held`. */
  readonly path: string;
  readonly held: HeldTree;
  /** The directory that the destination is in. */
  readonly parent: HeldTree;
  /** Of the destination in `parent`. */
  readonly name: string;
  /** The destination, where it is a directory that is there already. */
  readonly into: HeldTree | undefined;
}

/** Opens a private directory beside `destination`, whose parent must be there. */
export function openStaging(destination: string): Staging {
  const full = resolve(destination);
  const name = basename(full);
  using opened = new DisposableStack();
  try {
    const parent = opened.use(new HeldTree(realpathSync(dirname(full))));
    const into = lstat(full)?.isDirectory() ? opened.use(parent.hold(join(parent.base, name))) : undefined;
    const made = parent.inDirectory(parent.base, (place) => basename(mkdtempSync(join(place, `.${name.slice(0, 32)}.download-`))));
    const held = opened.use(parent.hold(join(parent.base, made)));
    const close = opened.move();
    const remove = async (): Promise<void> => {
      using _ = close;
      await emptyHeld(held);
      removeEmpty(parent, held);
    };
    return { path: join(held.base, "content"), held, parent, name, into, [Symbol.asyncDispose]: remove };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OpenShellError("failed_precondition", `cannot write in ${dirname(full)}: ${code ?? "unknown error"}`, {
      cause,
      next: "name another destination",
    });
  }
}

/** What has been put in its place, or in it, meanwhile is somebody else's. */
function removeEmpty(parent: HeldTree, { base }: HeldTree): void {
  try {
    parent.at(base, (place) => rmdirSync(place));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "ENOTEMPTY") throw error;
  }
}

/**
 * Moves what was unpacked to its destination, over what is there. A directory of the destination that is a link is refused, not followed:
 * where it leads is not where the person said. Directories are held while they are written in, whoever exchanges them meanwhile.
 */
export function place(staging: Staging, unpacked: Unpacked): Placed {
  try {
    return placeHeld(staging, unpacked);
  } catch (reason) {
    if (reason instanceof StepError) throw exchanged(printable(reason.path), reason);
    const { code, path } = reason as NodeJS.ErrnoException;
    if (reason instanceof OpenShellError || code === undefined) throw reason;
    throw new OpenShellError("aborted", `the copy cannot be moved to ${printable(pathOf(staging))}: ${code}`, {
      cause: reason,
      next: path === undefined ? "try again" : "try again when nothing writes there, or name another destination",
    });
  }
}

function placeHeld(staging: Staging, unpacked: Unpacked): Placed {
  const { held, parent, path: root } = staging;
  const destination = pathOf(staging);
  const found = parent.at(destination, lstat);
  if (staging.into === undefined && found === undefined) {
    held.at(root, (from) => parent.at(destination, (to) => renameSync(from, to)));
    return { changed: [...unpacked.files, ...unpacked.links.map(({ path }) => path)] };
  }
  if (staging.into !== undefined && !isSame(staging.into.stats(), found)) throw exchanged(printable(destination));
  if (unpacked.directories.includes("") && staging.into === undefined && !found?.isDirectory())
    throw inTheWay(destination, "is not a directory");
  using into = staging.into === undefined && found?.isDirectory() ? parent.hold(destination) : undefined;
  const tree = staging.into ?? into;
  /** Runs `use` with names for where a path is, and where it is to be. */
  const both = <T>(path: string, use: (from: string, to: string, shown: string) => T): T =>
    held.at(join(root, path), (from) => {
      const shown = join(destination, path);
      if (path === "" || tree === undefined) return parent.at(destination, (to) => use(from, to, shown));
      return tree.at(join(tree.base, path), (to) => use(from, to, shown));
    });
  for (const path of [...unpacked.directories].sort()) {
    if (path === "") continue;
    both(path, (_, to, shown) => {
      const there = lstat(to);
      if (there === undefined) mkdirSync(to, { mode: 0o755 });
      else if (!there.isDirectory()) throw inTheWay(shown, "is not a directory");
    });
  }
  const changed: string[] = [];
  for (const path of unpacked.files)
    both(path, (from, to, shown) => {
      const there = lstat(to);
      if (there?.isDirectory()) throw inTheWay(shown, "is a directory");
      if (there === undefined || !there.isFile() || !isSameFile(from, to)) changed.push(path);
      // Takes the place of a link instead of writing through it.
      renameSync(from, to);
    });
  for (const { path, target } of unpacked.links)
    both(path, (from, to, shown) => {
      const there = lstat(to);
      if (there?.isDirectory()) throw inTheWay(shown, "is a directory");
      if (!(there?.isSymbolicLink() && readlinkSync(to) === target)) changed.push(path);
      renameSync(from, to);
    });
  return { changed };
}

function pathOf({ parent, name }: Staging): string {
  return join(parent.base, name);
}

/** Where a copy of `name` goes: into a directory that is there, else to the path itself, as cp does. `contents`: into it, without its name. */
export function destinationOf(given: string, name: string, contents: boolean): string {
  const path = resolve(given);
  return !contents && (given.endsWith("/") || lstat(path)?.isDirectory() === true) ? join(path, name) : path;
}

function lstat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function isSame(one: Stats, other: Stats | undefined): boolean {
  return one.ino === other?.ino && one.dev === other.dev;
}

const COMPARE_BYTES = 256 * 1024;

/** Whether two files have the same content, and both or none can be run. One that became something else meanwhile is another. */
function isSameFile(one: string, other: string): boolean {
  const first = openForReading(one);
  try {
    const second = openForReading(other);
    try {
      return isSameOpen(first, second);
    } finally {
      closeSync(second);
    }
  } catch {
    return false;
  } finally {
    closeSync(first);
  }
}

function isSameOpen(first: number, second: number): boolean {
  const [one, other] = [fstatSync(first), fstatSync(second)];
  if (!one.isFile() || !other.isFile() || one.size !== other.size) return false;
  if (((one.mode & 0o111) === 0) !== ((other.mode & 0o111) === 0)) return false;
  const [a, b] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)];
  for (let at = 0; at < one.size; ) {
    const count = readSync(first, a, 0, COMPARE_BYTES, null);
    if (count !== readSync(second, b, 0, COMPARE_BYTES, null) || count === 0) return false;
    if (!a.subarray(0, count).equals(b.subarray(0, count))) return false;
    at += count;
  }
  return true;
}

function inTheWay(path: string, what: string): OpenShellError {
  return new OpenShellError("failed_precondition", `${path} ${what}, the copy would replace it`, {
    next: "name another destination, or move it away",
  });
}
