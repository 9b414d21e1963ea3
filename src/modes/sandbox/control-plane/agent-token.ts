/** Half of the hour that a token lives. Milliseconds. */
const RENEW_AFTER = 30 * 60 * 1000;

/** A token of kind *agent*, bound to this sandbox; asked for when it is first needed and again at half its life. Never leaves the supervisor. */
export class AgentToken {
  readonly #issue: () => Promise<string>;
  readonly #now: () => number;
  #current: { readonly token: Promise<string>; readonly until: number } | undefined;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(issue: () => Promise<string>, now: () => number = () => performance.now()) {
    this.#issue = issue;
    this.#now = now;
  }

  /** Rejects when the gateway is away; the next call asks again. */
  get(): Promise<string> {
    if (this.#current !== undefined && this.#now() < this.#current.until) return this.#current.token;
    const token = this.#issue();
    const current = { token, until: this.#now() + RENEW_AFTER };
    this.#current = current;
    token.catch(() => {
      if (this.#current === current) this.#current = undefined;
    });
    return token;
  }

  /** The gateway does not take it any more: a new one at the next call. */
  forget(): void {
    this.#current = undefined;
  }
}
