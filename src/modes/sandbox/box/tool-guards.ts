import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";

/** Something of a writable mount that is mounted over itself: read-only, or writable but never renamed or removed. */
export interface GuardStep {
  readonly kind: "guard";
  /** Absolute path in the view. */
  readonly target: string;
  /** Stays writable; being a mount it can be neither renamed nor removed, so that what is guarded below it keeps its path. */
  readonly pinned: boolean;
}

/** What is guarded in one writable mount. */
export interface ToolGuards {
  /** Parents first. */
  readonly steps: readonly GuardStep[];
  /** Names, relative to the mount, that cannot be guarded: nothing is there yet, or a symbolic link is. The program can make or replace them. */
  readonly open: readonly string[];
}

/** Tools of the person read these by themselves on entering the directory: direnv, editors. */
const CONFIGURATION = [".envrc", ".vscode"] as const;
/** Where git finds names of programs to run, and which configuration is that of a repository. */
const REPOSITORY = ["config", "config.worktree", "hooks", "commondir"] as const;
/** The same for a further working tree of a repository, in `worktrees/<name>`. */
const WORKING_TREE = ["config.worktree", "commondir", "gitdir"] as const;
/** Names of submodules may have slashes, and submodules may have submodules; nobody nests them deeper than this. */
const MAX_DEPTH = 6;
/** Every guard is a mount in every sandbox; a repository of hundreds of submodules has some two thousand. */
const MAX_GUARDS = 4096;

/**
 * Looks in a directory of a person that a box may write for what the person's own tools would run or obey (threat 15): the configuration and
 * the hooks of the git repository there (with its submodules' and further working trees' in `.git`), `.envrc` and `.vscode`. Only the top
 * level is looked at: whoever runs a tool in a directory below, or after the program made a repository there, obeys the program.
 * Nothing is written. Throws `resource_exhausted` when there is too much to guard.
 */
export function guardTools(source: string, target: string): ToolGuards {
  const guards = new Guards(source, target);
  guards.directory();
  return guards;
}

type Kind = "missing" | "directory" | "file" | "other";

class Guards implements ToolGuards {
  readonly steps: GuardStep[] = [];
  readonly open: string[] = [];
  readonly #source: string;
  readonly #target: string;

  constructor(source: string, target: string) {
    this.#source = source;
    this.#target = target;
  }

  directory(): void {
    if (this.#kind("") !== "directory") return;
    for (const name of CONFIGURATION) this.#protect(name);
    // A mount may be a repository without a working tree, or the `.git` of one.
    if (this.#isRepository("")) this.#repository("", MAX_DEPTH);
    else if (this.#kind(".git") === "directory") {
      this.#pin(".git");
      this.#repository(".git", MAX_DEPTH);
    } else this.#protect(".git");
  }

  #repository(path: string, depth: number): void {
    for (const name of REPOSITORY) this.#protect(join(path, name));
    this.#submodules(join(path, "modules"), depth - 1);
    const trees = join(path, "worktrees");
    for (const tree of this.#directories(trees)) {
      this.#pin(trees);
      this.#pin(tree);
      for (const name of WORKING_TREE) this.#protect(join(tree, name));
    }
  }

  #submodules(path: string, depth: number): void {
    if (depth === 0) return;
    for (const inner of this.#directories(path)) {
      this.#pin(path);
      this.#pin(inner);
      if (this.#isRepository(inner)) this.#repository(inner, depth);
      else this.#submodules(inner, depth - 1);
    }
  }

  #protect(path: string): void {
    const kind = this.#kind(path);
    if (kind === "directory" || kind === "file") this.#add({ kind: "guard", target: join(this.#target, path), pinned: false });
    else this.open.push(path);
  }

  #pin(path: string): void {
    const target = join(this.#target, path);
    if (!this.steps.some((step) => step.target === target)) this.#add({ kind: "guard", target, pinned: true });
  }

  #add(step: GuardStep): void {
    if (this.steps.length >= MAX_GUARDS) {
      throw new OpenShellError("resource_exhausted", `${this.#source} has more git configuration than can be protected`, {
        next: "mount it read-only, or mount only the directory that the program is to change",
      });
    }
    this.steps.push(step);
  }

  #isRepository(path: string): boolean {
    return this.#kind(join(path, "HEAD")) === "file" && ["objects", "refs"].every((name) => this.#kind(join(path, name)) === "directory");
  }

  #directories(path: string): string[] {
    const kind = this.#kind(path);
    if (kind !== "directory") {
      if (kind !== "missing") this.open.push(path);
      return [];
    }
    return this.#names(path)
      .map((name) => join(path, name))
      .filter((inner) => this.#kind(inner) === "directory");
  }

  /** What cannot be listed cannot be guarded. */
  #names(path: string): string[] {
    try {
      return readdirSync(join(this.#source, path)).sort();
    } catch {
      this.open.push(path);
      return [];
    }
  }

  /** Of the entry itself: a symbolic link is `other`. */
  #kind(path: string): Kind {
    try {
      const facts = lstatSync(join(this.#source, path));
      return facts.isDirectory() ? "directory" : facts.isFile() ? "file" : "other";
    } catch {
      return "missing";
    }
  }
}
