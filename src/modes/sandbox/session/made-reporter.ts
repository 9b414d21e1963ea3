/** How long the gateway may take, at the end of a sandbox, to hear what was made in it. Milliseconds; a supervisor has five seconds to end. */
const LAST_WORDS_TIME = 1500;

export interface MadeReporterOptions {
  /** Paths that a program has made so far. */
  made(): readonly string[];
  /** A path is new. */
  tell(path: string): void;
  /** Tells the gateway; rejects when it is away. */
  report(paths: readonly string[]): Promise<unknown>;
}

/** Tells of configuration of a person's tools that programs make: in the log, and the gateway, which keeps it for the person. */
export class MadeReporter {
  readonly #options: MadeReporterOptions;
  readonly #known = new Set<string>();
  #untold: string[] = [];
  #telling: Promise<void> | undefined;

  constructor(options: MadeReporterOptions) {
    this.#options = options;
  }

  /** Looks for what is new; what the gateway could not be told is told with the next look. */
  look(): void {
    for (const path of this.#options.made()) {
      if (this.#known.has(path)) continue;
      this.#known.add(path);
      this.#untold.push(path);
      this.#options.tell(path);
    }
    void this.#report();
  }

  /** The last look: nothing makes anything any more. Waits, not for long, until the gateway knows. */
  async finish(): Promise<void> {
    await within(LAST_WORDS_TIME, this.#telling);
    this.look();
    await within(LAST_WORDS_TIME, this.#telling);
  }

  #report(): Promise<void> {
    if (this.#untold.length === 0) return Promise.resolve();
    this.#telling ??= this.#tell().finally(() => {
      this.#telling = undefined;
    });
    return this.#telling;
  }

  async #tell(): Promise<void> {
    const paths = this.#untold;
    this.#untold = [];
    try {
      await this.#options.report(paths);
    } catch {
      this.#untold = [...paths, ...this.#untold];
    }
  }
}

function within(milliseconds: number, promise: Promise<void> | undefined): Promise<void> {
  return Promise.race([promise, Bun.sleep(milliseconds)]).then(() => {});
}
