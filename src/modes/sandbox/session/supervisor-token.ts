import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { GatewayClient } from "./gateway-client.ts";

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

  /** Renews the token in time, until `stop`. */
  keepFresh(client: GatewayClient): void {
    this.#timer = setTimeout(() => void this.#renew(client), RENEW_AFTER);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #renew(client: GatewayClient): Promise<void> {
    let delay = RENEW_AFTER;
    try {
      const { token } = await client.refreshSandboxToken({});
      this.#value = token;
      writeFileSync(`${this.#file}.new`, token, { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    } catch {
      delay = RETRY_AFTER;
    }
    this.#timer = setTimeout(() => void this.#renew(client), delay);
  }
}
