/** Told one by one in each second of one connection: what people and agents say. */
const ONE_BY_ONE = 32;
/** Kinds that are counted beside each other; of more than this, each is told. */
const MAX_KINDS = 64;
const PERIOD_MS = 1000;

interface Told {
  readonly action: "allowed" | "denied";
  readonly reason?: string | undefined;
}

/**
 * Tells of what is allowed inside one connection without filling the log: behind the first of each second, those that are alike are counted and told
 * as one when the second is over. What is denied is told at once, behind what was before it.
 */
export class Repeats<Event extends Told> {
  readonly #emit: (event: Event) => void;
  readonly #counted = new Map<string, { readonly event: Event; count: number }>();
  #told = 0;
  #period: ReturnType<typeof setTimeout> | undefined;

  constructor(emit: (event: Event) => void) {
    this.#emit = emit;
  }

  tell(event: Event): void {
    if (event.action === "denied") {
      this.#flush();
      this.#emit(event);
      return;
    }
    this.#period ??= setTimeout(() => this.end(), PERIOD_MS);
    const kind = this.#told < ONE_BY_ONE ? undefined : JSON.stringify(event);
    const known = kind === undefined ? undefined : this.#counted.get(kind);
    if (known !== undefined) {
      known.count++;
    } else if (kind === undefined || this.#counted.size >= MAX_KINDS) {
      this.#told++;
      this.#emit(event);
    } else {
      this.#counted.set(kind, { event, count: 1 });
    }
  }

  /** Tells what has been counted: the period, or the connection, is over. */
  end(): void {
    clearTimeout(this.#period);
    this.#period = undefined;
    this.#told = 0;
    this.#flush();
  }

  #flush(): void {
    for (const { event, count } of this.#counted.values()) this.#emit(count === 1 ? event : { ...event, reason: reason(event, count) });
    this.#counted.clear();
  }
}

function reason({ reason }: Told, count: number): string {
  const many = `${count} like this within a second`;
  return reason === undefined ? many : `${reason}; ${many}`;
}
