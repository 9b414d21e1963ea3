import { lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { HeldTree } from "./held-tree.ts";
import { ignoreRules } from "./ignore-rules.ts";

/** Something of this machine that is to be copied. */
export interface LocalEntry {
  readonly kind: "file" | "directory" | "symlink";
  /** Relative to what is copied; empty for that itself. */
  readonly path: string;
  /** On this machine. */
  readonly source: string;
  readonly target: string;
  readonly mode: number;
  readonly size: number;
  /** Seconds since the epoch. */
  readonly modified: number;
}

export interface LocalTree extends Disposable {
  /** Name of what is copied. */
  readonly name: string;
  readonly directory: boolean;
  readonly entries: readonly LocalEntry[];
  /** Sum of the sizes of files. Bytes. */
  readonly bytes: number;
  /** Pipes, sockets and devices, which are not copied. */
  readonly skipped: readonly string[];
  /** By which the entries are opened; held until the tree is disposed. */
  readonly held: HeldTree;
}

/**
 * What is at `path`: itself if it is a file, else the directory with everything below that is not ignored. Links are copied as links and never
 * followed, except `path` itself, which the person named.
 */
export function walkLocal(path: string, options: { readonly gitIgnore: boolean }): LocalTree {
  const root = realRoot(path);
  const stats = lstatSync(root);
  const name = basename(resolve(path));
  if (!stats.isFile() && !stats.isDirectory()) throw new OpenShellError("invalid_argument", `${path} is neither a file nor a directory`);
  const held = new HeldTree(stats.isFile() ? dirname(root) : root);
  const common = { name, held, [Symbol.dispose]: () => held[Symbol.dispose]() };
  if (stats.isFile()) {
    const entry = describe(root, root, "", stats);
    return { ...common, directory: false, entries: entry === undefined ? [] : [entry], bytes: stats.size, skipped: [] };
  }
  try {
    return { ...common, directory: true, ...listBelow(held, root, options.gitIgnore) };
  } catch (error) {
    held[Symbol.dispose]();
    throw error;
  }
}

function listBelow(held: HeldTree, root: string, gitIgnore: boolean): Pick<LocalTree, "entries" | "bytes" | "skipped"> {
  const rules = gitIgnore ? ignoreRules(root) : { ignores: () => false };
  const entries: LocalEntry[] = [];
  const skipped: string[] = [];
  const waiting = [""];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    const above = directory;
    try {
      held.inDirectory(join(root, above), (place) => {
        for (const child of readdirSync(place).sort()) {
          const relative = above === "" ? child : `${above}/${child}`;
          const source = join(root, relative);
          const found = lstatSync(join(place, child));
          if (rules.ignores(source, found.isDirectory())) continue;
          const entry = describe(join(place, child), source, relative, found);
          if (entry === undefined) skipped.push(relative);
          else entries.push(entry);
          if (found.isDirectory()) waiting.push(relative);
        }
      });
    } catch (cause) {
      throw unreadable(join(root, above), cause);
    }
  }
  return { entries, bytes: entries.reduce((sum, { size }) => sum + size, 0), skipped };
}

/** A directory that could be listed a moment ago, or whose entries are gone. */
function unreadable(path: string, cause: unknown): OpenShellError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM") return new OpenShellError("permission_denied", `${path} cannot be read: ${code}`, { cause });
  return new OpenShellError("aborted", `${path} changed while it was being listed (${code ?? "unknown error"})`, {
    cause,
    next: "try again when nothing writes there; names that are no UTF-8 text cannot be copied",
  });
}

function realRoot(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new OpenShellError(
      "not_found",
      code === "ENOENT" ? `${path} does not exist` : `${path} cannot be read: ${code ?? "unknown error"}`,
      { cause },
    );
  }
}

/** `place`: where it is at this moment; `source`: what it is called. */
function describe(place: string, source: string, path: string, stats: ReturnType<typeof lstatSync> & object): LocalEntry | undefined {
  const common = {
    path,
    source,
    target: "",
    mode: Number(stats.mode) & 0o777,
    size: 0,
    modified: Math.floor(Number(stats.mtimeMs) / 1000),
  };
  if (stats.isFile()) return { ...common, kind: "file", size: Number(stats.size) };
  if (stats.isDirectory()) return { ...common, kind: "directory" };
  if (stats.isSymbolicLink()) return { ...common, kind: "symlink", target: readlinkSync(place) };
  return undefined;
}
