/** Bytes of log that may wait for whoever reads our stderr. An agent decides how many lines there are; a stopped reader must not cost memory. */
const MAX_WAITING_BYTES = 1 << 20;

/** How long the end of a run waits for its last lines to be read. Milliseconds. */
const DRAIN_TIME = 1000;

type Stream = Pick<NodeJS.WritableStream, "write" | "on">;

/** Lines on a stream that nobody may be reading, that may be full or closed: never blocks, never fails, and counts what it had to drop. */
export class LineWriter {
  /** A terminal in raw mode does not return to the left margin by itself. */
  lineEnd: "\n" | "\r\n" = "\n";
  readonly #stream: Stream;
  readonly #limit: number;
  #waiting = 0;
  #dropped = 0;
  #drained: (() => void) | undefined;

  constructor(stream: Stream, limit = MAX_WAITING_BYTES) {
    this.#stream = stream;
    this.#limit = limit;
    // A reader that went away or a full disk is no reason to end what is supervised.
    stream.on("error", () => {});
  }

  write(line: string): void {
    if (this.#waiting + line.length > this.#limit) {
      this.#dropped += 1;
      return;
    }
    if (this.#dropped > 0) {
      const note = `${this.#dropped} log lines were dropped: nobody was reading${this.lineEnd}`;
      this.#dropped = 0;
      this.#send(note);
    }
    this.#send(`${line}${this.lineEnd}`);
  }

  /** Resolves when everything has been handed over, or after `DRAIN_TIME`. */
  async drain(): Promise<void> {
    if (this.#waiting === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    const timer = setTimeout(resolve, DRAIN_TIME);
    await promise;
    clearTimeout(timer);
  }

  #send(text: string): void {
    this.#waiting += text.length;
    this.#stream.write(text, () => {
      this.#waiting -= text.length;
      if (this.#waiting === 0) this.#drained?.();
    });
  }
}
