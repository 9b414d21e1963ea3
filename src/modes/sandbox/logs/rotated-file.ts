import { appendFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Days of log kept per file name, as existing tools expect. */
const KEPT_FILES = 3;

/** Lines waiting for the next write; a burst beyond it is cut and counted, the data path never waits for a disk. */
const MAX_PENDING_LINES = 10_000;

/** How often pending lines reach the file. Milliseconds. */
const FLUSH_INTERVAL = 200;

/** Appends lines to `<directory>/<name>.YYYY-MM-DD.log`, a new file each day (UTC). A directory that cannot be written turns it off. */
export class RotatedFile {
  readonly #directory: string;
  readonly #name: string;
  #pending: string[] = [];
  #dropped = 0;
  #day = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #broken = false;

  constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    mkdirSync(directory, { recursive: true });
  }

  write(line: string): void {
    if (this.#broken) return;
    if (this.#pending.length >= MAX_PENDING_LINES) this.#dropped += 1;
    else this.#pending.push(line);
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_INTERVAL);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#dropped > 0) this.#pending.push(`${this.#dropped} log lines were dropped: more than ${MAX_PENDING_LINES} were waiting`);
    const text = this.#pending.map((line) => `${line}\n`).join("");
    this.#pending = [];
    this.#dropped = 0;
    if (text === "") return;
    const day = new Date().toISOString().slice(0, 10);
    try {
      appendFileSync(join(this.#directory, `${this.#name}.${day}.log`), text);
      if (day !== this.#day) this.#removeOld();
      this.#day = day;
    } catch (error) {
      this.#broken = true;
      process.stderr.write(
        `openshell: no more log files in ${this.#directory}: ${error instanceof Error ? error.message : String(error)}\n`,
      );
    }
  }

  #removeOld(): void {
    const files = readdirSync(this.#directory).filter((file) => file.startsWith(`${this.#name}.`) && file.endsWith(".log"));
    for (const file of files.sort().slice(0, -KEPT_FILES)) rmSync(join(this.#directory, file), { force: true });
  }
}
