import { lstatSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { OpenShellError } from "../../../error.ts";
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

export interface LocalTree {
  /** Name of what is copied. */
  readonly name: string;
  readonly directory: boolean;
  readonly entries: readonly LocalEntry[];
  /** Sum of the sizes of files. Bytes. */
  readonly bytes: number;
  /** Pipes, sockets and devices, which are not copied. */
  readonly skipped: readonly string[];
}

/**
 * What is at `path`: itself if it is a file, else the directory with everything below that is not ignored. Links are copied as links and never
 * followed, except `path` itself, which the person named.
 */
export function walkLocal(path: string, options: { readonly gitIgnore: boolean }): LocalTree {
  const root = realRoot(path);
  const stats = lstatSync(root);
  const name = basename(resolve(path));
  if (stats.isFile()) {
    const entry = describe(root, "", stats);
    return { name, directory: false, entries: entry === undefined ? [] : [entry], bytes: stats.size, skipped: [] };
  }
  if (!stats.isDirectory()) throw new OpenShellError("invalid_argument", `${path} is neither a file nor a directory`);
  const rules = options.gitIgnore ? ignoreRules(root) : { ignores: () => false };
  const entries: LocalEntry[] = [];
  const skipped: string[] = [];
  const waiting = [""];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    for (const child of readdirSync(join(root, directory)).sort()) {
      const relative = directory === "" ? child : `${directory}/${child}`;
      const source = join(root, relative);
      const found = lstatSync(source);
      if (rules.ignores(source, found.isDirectory())) continue;
      const entry = describe(source, relative, found);
      if (entry === undefined) skipped.push(relative);
      else entries.push(entry);
      if (found.isDirectory()) waiting.push(relative);
    }
  }
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return { name, directory: true, entries, bytes, skipped };
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

function describe(source: string, path: string, stats: ReturnType<typeof lstatSync> & object): LocalEntry | undefined {
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
  if (stats.isSymbolicLink()) return { ...common, kind: "symlink", target: readlinkSync(source) };
  return undefined;
}
