import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { OpenShellError } from "../../../error.ts";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** A directory on the way could not be entered: a moment ago it was one, or it is none. `code` is what open(2) answered. */
export class StepError extends Error {
  readonly code: string | undefined;
  readonly path: string;

  constructor(path: string, cause: unknown) {
    const { code } = cause as NodeJS.ErrnoException;
    super(`${path}: ${code ?? "unknown error"}`, { cause });
    this.code = code;
    this.path = path;
  }
}

/**
 * A directory of this machine that is held open, so that what is below it is found from there, step by step and through no link: a sandbox
 * that can write in it (a mounted workspace) may exchange a directory for a link at any moment. Where the system has no `/proc`, paths are
 * used as they are; no sandbox of such a machine has its directories.
 */
export class HeldTree implements Disposable {
  readonly base: string;
  readonly #fd: number;

  /** `base`: absolute, and not a link itself; `place`: where it is at this moment. Throws what open(2) answers. */
  constructor(base: string, place = base) {
    this.base = base;
    this.#fd = openSync(place, DIRECTORY);
  }

  /** Runs `use` with a name for the directory at `path`, which stays its name whatever is moved meanwhile. Throws a StepError for a link. */
  inDirectory<T>(path: string, use: (place: string) => T): T {
    if (process.platform !== "linux") return use(path);
    let held = this.#fd;
    let reached = this.base;
    try {
      for (const part of relative(this.base, path).split(sep)) {
        if (part === "") continue;
        reached = join(reached, part);
        const next = step(join(nameOf(held), part), reached);
        if (held !== this.#fd) closeSync(held);
        held = next;
      }
      return use(nameOf(held));
    } finally {
      if (held !== this.#fd) closeSync(held);
    }
  }

  /** Runs `use` with a name for what is at `path`, or is to be there: its directory is held meanwhile, it itself may be anything. */
  at<T>(path: string, use: (place: string) => T): T {
    return this.inDirectory(dirname(path), (place) => use(join(place, basename(path))));
  }

  /** Opens a file below for reading: not through a link, and not waiting for the other end of a pipe. The caller closes it. */
  openFile(path: string): number {
    return this.at(path, openForReading);
  }

  /** Holds a directory below. The caller disposes of it. */
  hold(path: string): HeldTree {
    return this.at(path, (place) => new HeldTree(path, place));
  }

  /** Which directory this is. */
  stats(): Stats {
    return fstatSync(this.#fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Not through a link, and not waiting for the other end of a pipe. The caller closes it. */
export function openForReading(place: string): number {
  return openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

/** Somebody exchanges what is being written. */
export function exchanged(path: string, cause?: unknown): OpenShellError {
  return new OpenShellError("aborted", `${path} was exchanged for something else while the copy was being written`, {
    cause,
    next: "stop what writes there, a sandbox that has this directory mounted perhaps, or name another destination",
  });
}

function step(place: string, path: string): number {
  try {
    return openSync(place, DIRECTORY);
  } catch (cause) {
    throw new StepError(path, cause);
  }
}

function nameOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
