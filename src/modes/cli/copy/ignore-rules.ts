import { existsSync, lstatSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ignore, { type Ignore } from "ignore";

/** A file of rules; a larger one is no list that a person wrote. */
const MAX_RULES_BYTES = 1024 * 1024;

const RULES_FILE = ".gitignore";

/** Which paths of a directory are left out of a copy. */
export interface IgnoreRules {
  /** `path` is absolute and below the copied directory; its parents are not ignored. */
  ignores(path: string, directory: boolean): boolean;
}

const NOTHING: IgnoreRules = { ignores: () => false };

/**
 * The `.gitignore` rules of the work tree that `root` is in, read by a library: git itself is never run, because a repository's configuration
 * can name programs for it to run, and a sandbox may have written the repository. Outside a work tree, or where the rules leave out `root`
 * itself, nothing is ignored.
 */
export function ignoreRules(root: string): IgnoreRules {
  const top = workTree(root);
  if (top === undefined) return NOTHING;
  const rules = new Rules(top);
  for (let path = root; path !== top; path = dirname(path)) if (rules.ignores(path, true)) return NOTHING;
  return rules;
}

/** The nearest directory at or above `path` that has a `.git`. */
function workTree(path: string): string | undefined {
  for (let directory = path; ; directory = dirname(directory)) {
    if (existsSync(join(directory, ".git"))) return directory;
    if (dirname(directory) === directory) return undefined;
  }
}

class Rules implements IgnoreRules {
  readonly #top: string;
  readonly #files = new Map<string, Ignore | undefined>();

  constructor(top: string) {
    this.#top = top;
  }

  ignores(path: string, directory: boolean): boolean {
    // The repository's own data is no part of a work tree.
    if (path.endsWith("/.git")) return true;
    let ignored = false;
    // From the top down: a deeper file overrules a higher one.
    for (const place of this.#placesAbove(path)) {
      const rules = this.#rulesIn(place);
      const found = rules?.test(`${relative(place, path)}${directory ? "/" : ""}`);
      if (found?.ignored) ignored = true;
      else if (found?.unignored) ignored = false;
    }
    return ignored;
  }

  #placesAbove(path: string): string[] {
    const places: string[] = [];
    for (let directory = dirname(path); ; directory = dirname(directory)) {
      places.unshift(directory);
      if (directory === this.#top || dirname(directory) === directory) return places;
    }
  }

  #rulesIn(directory: string): Ignore | undefined {
    if (!this.#files.has(directory)) this.#files.set(directory, readRules(join(directory, RULES_FILE)));
    return this.#files.get(directory);
  }
}

function readRules(file: string): Ignore | undefined {
  try {
    const { size, isFile } = describe(file);
    if (!isFile || size > MAX_RULES_BYTES) return undefined;
    return ignore({ allowRelativePaths: true }).add(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

function describe(file: string): { size: number; isFile: boolean } {
  const stats = lstatSync(file);
  return { size: stats.size, isFile: stats.isFile() };
}
