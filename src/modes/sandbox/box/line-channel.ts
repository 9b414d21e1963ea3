import { OpenShellError } from "../../../error.ts";
import { setNonBlocking } from "../../../linux/descriptors.ts";

/** One message; environments are the largest part, at most 1 MiB. More means that the other side is not ours. */
const MAX_LINE_BYTES = 8 * 1024 * 1024;

export interface LineChannel {
  /** Starts delivery: each message in order, and once the end, when the other side is gone or sends what is not a message. */
  listen(received: (message: unknown) => void, ended: () => void): void;
  /** Queues one message. */
  send(message: unknown): void;
  close(): void;
}

/** Messages as lines of JSON over one end of a socket pair, which it owns from now on. What arrives before `listen` waits. */
export async function openLineChannel(fd: number): Promise<LineChannel> {
  setNonBlocking(fd);
  const channel = new SocketLineChannel();
  // `fd` is accepted by Bun.connect but missing from its types.
  channel.attach(await Bun.connect({ fd, socket: channel.handlers } as unknown as Bun.UnixSocketOptions<undefined>));
  return channel;
}

class SocketLineChannel implements LineChannel {
  readonly #incoming = new LineBuffer();
  readonly #waiting: unknown[] = [];
  #outgoing: Uint8Array = new Uint8Array(0);
  #socket: Bun.Socket | undefined;
  #received: ((message: unknown) => void) | undefined;
  #ended: (() => void) | undefined;
  #over = false;

  readonly handlers = {
    data: (_: Bun.Socket, chunk: Buffer) => this.#data(chunk),
    drain: () => this.#flush(),
    end: () => this.#finish(),
    close: () => this.#finish(),
    error: () => this.#finish(),
  };

  attach(socket: Bun.Socket): void {
    this.#socket = socket;
  }

  listen(received: (message: unknown) => void, ended: () => void): void {
    this.#received = received;
    this.#ended = ended;
    for (const message of this.#waiting.splice(0)) received(message);
    if (this.#over) ended();
  }

  send(message: unknown): void {
    if (this.#over) return;
    this.#outgoing = Buffer.concat([this.#outgoing, Buffer.from(`${JSON.stringify(message)}\n`)]);
    this.#flush();
  }

  close(): void {
    this.#over = true;
    this.#ended = undefined;
    this.#socket?.terminate();
  }

  #data(chunk: Buffer): void {
    try {
      for (const line of this.#incoming.push(chunk)) this.#deliver(JSON.parse(line));
    } catch {
      this.#socket?.terminate();
      this.#finish();
    }
  }

  #deliver(message: unknown): void {
    if (this.#received) this.#received(message);
    else this.#waiting.push(message);
  }

  #flush(): void {
    while (this.#outgoing.length > 0) {
      const written = this.#socket?.write(this.#outgoing) ?? 0;
      if (written <= 0) return;
      this.#outgoing = this.#outgoing.subarray(written);
    }
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended?.();
  }
}

/** Cuts a stream of bytes into lines. */
class LineBuffer {
  #chunks: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): string[] {
    this.#chunks.push(Buffer.from(chunk));
    this.#size += chunk.length;
    if (this.#size > MAX_LINE_BYTES) {
      throw new OpenShellError("resource_exhausted", `message of ${this.#size} bytes, at most ${MAX_LINE_BYTES} are accepted`);
    }
    if (!chunk.includes(0x0a)) return [];
    const lines = Buffer.concat(this.#chunks).toString().split("\n");
    const rest = Buffer.from(lines.pop() ?? "");
    this.#chunks = [rest];
    this.#size = rest.length;
    return lines;
  }
}
