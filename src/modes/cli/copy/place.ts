import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { removeTree } from "../../../linux/remove-tree.ts";
import type { Unpacked } from "./unpack.ts";

/** What a download changed on this machine. */
export interface Placed {
  /** Paths below the destination that are new or have other content, links included. */
  readonly changed: readonly string[];
}

/** An empty place beside the destination, on the same file system, for nobody else. */
export interface Staging extends AsyncDisposable {
  readonly path: string;
}

/** Opens a private directory beside `destination`, whose parent must be there. */
export function openStaging(destination: string): Staging {
  const parent = dirname(resolve(destination));
  let directory: string;
  try {
    directory = mkdtempSync(join(parent, `.${basename(destination).slice(0, 32)}.download-`));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OpenShellError("failed_precondition", `cannot write in ${parent}: ${code ?? "unknown error"}`, {
      cause,
      next: "name another destination",
    });
  }
  return { path: join(directory, "content"), [Symbol.asyncDispose]: () => removeTree(directory) };
}

/**
 * Moves what was unpacked to its destination, over what is there. A directory of the destination that is a link is refused, not followed:
 * where it leads is not where the person said.
 */
export function place(staged: string, destination: string, unpacked: Unpacked): Placed {
  if (!exists(destination)) {
    renameSync(staged, destination);
    return { changed: [...unpacked.files, ...unpacked.links.map(({ path }) => path)] };
  }
  for (const path of [...unpacked.directories].sort()) {
    const at = join(destination, path);
    const found = lstat(at);
    if (found === undefined) mkdirSync(at, { mode: 0o755 });
    else if (!found.isDirectory() && !(path === "" && isDirectoryBehind(at))) throw inTheWay(at, "is not a directory");
  }
  const changed: string[] = [];
  for (const path of unpacked.files) {
    const [from, to] = [join(staged, path), join(destination, path)];
    const found = lstat(to);
    if (found?.isDirectory()) throw inTheWay(to, "is a directory");
    if (found === undefined || !found.isFile() || !sameContent(from, to) || executable(from) !== executable(to)) changed.push(path);
    // Takes the place of a link instead of writing through it.
    renameSync(from, to);
  }
  for (const { path, target } of unpacked.links) {
    const [from, to] = [join(staged, path), join(destination, path)];
    const found = lstat(to);
    if (found?.isDirectory()) throw inTheWay(to, "is a directory");
    if (!(found?.isSymbolicLink() && readlinkSync(to) === target)) changed.push(path);
    renameSync(from, to);
  }
  return { changed };
}

/** Where a copy of `name` goes: into a directory that is there, else to the path itself, as cp does. `contents`: into it, without its name. */
export function destinationOf(given: string, name: string, contents: boolean): string {
  const path = resolve(given);
  return !contents && (given.endsWith("/") || (existsSync(path) && isDirectoryBehind(path))) ? join(path, name) : path;
}

function isDirectoryBehind(path: string): boolean {
  try {
    return lstatSync(join(path, ".")).isDirectory();
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  return lstat(path) !== undefined;
}

function lstat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function executable(path: string): boolean {
  return ((lstat(path)?.mode ?? 0) & 0o111) !== 0;
}

const COMPARE_BYTES = 256 * 1024;

function sameContent(one: string, other: string): boolean {
  if (lstat(one)?.size !== lstat(other)?.size) return false;
  const [a, b] = [Buffer.alloc(COMPARE_BYTES), Buffer.alloc(COMPARE_BYTES)];
  const [first, second] = [openSync(one, "r"), openSync(other, "r")];
  try {
    for (;;) {
      const count = readSync(first, a);
      if (count !== readSync(second, b)) return false;
      if (!a.subarray(0, count).equals(b.subarray(0, count))) return false;
      if (count === 0) return true;
    }
  } finally {
    closeSync(first);
    closeSync(second);
  }
}

function inTheWay(path: string, what: string): OpenShellError {
  return new OpenShellError("failed_precondition", `${path} ${what}, the copy would replace it`, {
    next: "name another destination, or move it away",
  });
}
