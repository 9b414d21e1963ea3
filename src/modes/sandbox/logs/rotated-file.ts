import { appendFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Days of log kept per file name, as existing tools expect. */
const KEPT_FILES = 3;

/** Lines waiting for the next write; a burst beyond it is cut and counted, the data path never waits for a disk. */
const MAX_PENDING_LINES = 10_000;

/** How often pending lines reach the file. Milliseconds. */
const FLUSH_INTERVAL = 200;

/** How long after a failed write the next is tried: a full disk may have room again. Milliseconds. */
const RETRY_AFTER = 5000;

/** Appends lines to `<directory>/<name>.YYYY-MM-DD.log`, a new file each day (UTC). While that fails lines are counted, not kept. */
export class RotatedFile {
  readonly #directory: string;
  readonly #name: string;
  #pending: string[] = [];
  #dropped = 0;
  #day = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Time of the next attempt after a failed one, by a clock that only goes forward. */
  #brokenUntil = 0;
  #complained = false;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    mkdirSync(directory, { recursive: true });
  }

  write(line: string): void {
    if (this.#pending.length >= MAX_PENDING_LINES || performance.now() < this.#brokenUntil) this.#dropped += 1;
    else this.#pending.push(line);
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_INTERVAL);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (performance.now() < this.#brokenUntil) return;
    const lines = this.#pending;
    const dropped = this.#dropped;
    this.#pending = [];
    this.#dropped = 0;
    const notice = dropped > 0 ? [`${dropped} log lines were dropped: they could not be written in time`] : [];
    const text = [...lines, ...notice].map((line) => `${line}\n`).join("");
    if (text === "") return;
    const day = new Date().toISOString().slice(0, 10);
    try {
      appendFileSync(join(this.#directory, `${this.#name}.${day}.log`), text);
      if (day !== this.#day) this.#removeOld();
      this.#day = day;
    } catch (error) {
      this.#brokenUntil = performance.now() + RETRY_AFTER;
      this.#dropped += dropped + lines.length;
      if (this.#complained) return;
      this.#complained = true;
      process.stderr.write(
        `openshell: log files in ${this.#directory} cannot be written for now: ${error instanceof Error ? error.message : String(error)}\n`,
      );
    }
  }

  #removeOld(): void {
    const files = readdirSync(this.#directory).filter((file) => file.startsWith(`${this.#name}.`) && file.endsWith(".log"));
    for (const file of files.sort().slice(0, -KEPT_FILES)) rmSync(join(this.#directory, file), { force: true });
  }
}
