import { closeSync, constants, openSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * A directory of this machine that is held open, so that what is below it is found from there, step by step and through no link: a sandbox
 * that can write in it (a mounted workspace) may exchange a directory for a link at any moment. Where the system has no `/proc`, paths are
 * used as they are; no sandbox of such a machine has its directories.
 */
export class HeldTree implements Disposable {
  readonly #base: string;
  readonly #fd: number;

  /** `base`: absolute, and not a link itself. Throws what open(2) answers. */
  constructor(base: string) {
    this.#base = base;
    this.#fd = openSync(base, DIRECTORY);
  }

  /** Runs `use` with a name for the directory at `path`, which stays its name whatever is moved meanwhile. Throws ENOTDIR or ELOOP for a link. */
  inDirectory<T>(path: string, use: (place: string) => T): T {
    if (process.platform !== "linux") return use(path);
    const opened: number[] = [];
    try {
      let place = nameOf(this.#fd);
      for (const part of relative(this.#base, path).split(sep)) {
        if (part === "") continue;
        const fd = openSync(join(place, part), DIRECTORY);
        opened.push(fd);
        place = nameOf(fd);
      }
      return use(place);
    } finally {
      for (const fd of opened) closeSync(fd);
    }
  }

  /** Opens a file below for reading: not through a link, and not waiting for the other end of a pipe. The caller closes it. */
  openFile(path: string): number {
    return this.inDirectory(dirname(path), (place) =>
      openSync(join(place, basename(path)), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
    );
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function nameOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
