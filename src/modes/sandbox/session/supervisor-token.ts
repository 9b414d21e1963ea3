import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** Half of the hour that a token lives. Milliseconds. */
const RENEW_AFTER = 30 * 60 * 1000;

/** Between attempts while the gateway is away; the token outlives many of them. Milliseconds. */
const RETRY_AFTER = 60 * 1000;

/** This sandbox's credential, kept in a file that the agent cannot see so that a renewed one survives the supervisor. */
export class SupervisorToken {
  readonly #file: string;
  #value: string;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#value = readFileSync(file, "utf8").trim();
  }

  get value(): string {
    return this.#value;
  }

  reload(): void {
    this.#value = readFileSync(this.#file, "utf8").trim();
  }

  /** Renews the token in time, until `stop`; `refresh` asks the gateway for the next one. */
  keepFresh(refresh: () => Promise<string>): void {
    this.#timer = setTimeout(() => void this.#renew(refresh), RENEW_AFTER);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #renew(refresh: () => Promise<string>): Promise<void> {
    let delay = RENEW_AFTER;
    try {
      const token = await refresh();
      this.#value = token;
      writeFileSync(`${this.#file}.new`, token, { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } catch {
      delay = RETRY_AFTER;
    }
    this.#timer = setTimeout(() => void this.#renew(refresh), delay);
  }
}
