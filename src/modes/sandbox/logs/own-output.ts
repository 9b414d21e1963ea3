import { constants, copyFileSync, fstatSync, ftruncateSync, statSync, writeSync } from "node:fs";
import { MAIN_OUTPUT_MARK, SUPERVISOR_LOG_BYTES } from "../../../supervisor-spec.ts";

/** Between looks at the file's size: little is written there but a main process's output, which has a limit of its own. Milliseconds. */
const LOOK_INTERVAL = 10_000;

/**
 * Keeps the file that our standard output and error go to small: what is in a full one becomes `<path>.1`, where the one before it was. Stops
 * when disposed.
 */
export function keepOwnOutputSmall(path: string): Disposable {
  const timer = setInterval(() => rotateOwnOutput(path), LOOK_INTERVAL);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * Copies a full file and empties it. It is not renamed: the runtime and our helpers have descriptors of it that nobody could exchange, and all
 * of them append.
 */
export function rotateOwnOutput(path: string, limit = SUPERVISOR_LOG_BYTES): void {
  try {
    const own = process.stdout.fd;
    const { size, ino, dev } = fstatSync(own);
    if (size <= limit) return;
    const named = statSync(path);
    // Started by hand, say, with the output elsewhere.
    if (named.ino !== ino || named.dev !== dev) return;
    copyFileSync(path, `${path}.1`, constants.COPYFILE_FICLONE);
    ftruncateSync(own);
    // Where the main process wrote is not known any more: nothing that follows counts as our word.
    writeSync(own, MAIN_OUTPUT_MARK);
  } catch {
    // A full disk, say: tried again at the next look.
  }
}
