import { closeSync } from "node:fs";
import { ReadStream } from "node:tty";

/** Everything readable from a pipe, in pieces as they come; closes the descriptor at the end. */
export async function* readPipe(descriptor: number): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of Bun.file(descriptor).stream()) yield chunk;
  } finally {
    closeQuietly(descriptor);
  }
}

/** The same for the supervisor's side of a terminal: its end shows as EIO. */
export async function* readTerminal(descriptor: number): AsyncGenerator<Uint8Array> {
  const stream = new ReadStream(descriptor);
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
  } finally {
    stream.destroy();
  }
}

/** Writes to a program's stdin with backpressure. A program that does not read any more is no error: the bytes are dropped. */
export class DescriptorWriter {
  readonly #descriptor: number;
  readonly #sink: ReturnType<ReturnType<typeof Bun.file>["writer"]>;
  #open = true;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#sink = Bun.file(descriptor).writer();
  }

  async write(data: Uint8Array): Promise<void> {
    if (!this.#open) return;
    try {
      this.#sink.write(data);
      await this.#sink.flush();
    } catch {
      await this.close();
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    try {
      await this.#sink.end();
    } catch {
      // The reader went away first.
    }
    closeQuietly(this.#descriptor);
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Already closed by the stream that owned it.
  }
}
