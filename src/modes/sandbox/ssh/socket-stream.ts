import { Duplex } from "node:stream";

/** A connected socket of the kernel as a stream that owns it: backpressure both ways, and each direction ends by itself. */
export async function openSocketStream(descriptor: number): Promise<Duplex> {
  const stream = new SocketStream();
  // `fd` is accepted by Bun.connect but missing from its types.
  const options = { fd: descriptor, allowHalfOpen: true, socket: stream.handlers };
  stream.attach(await Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>));
  return stream;
}

class SocketStream extends Duplex {
  #socket: Bun.Socket | undefined;
  #pending: Uint8Array | undefined;
  #written: ((error?: Error | null) => void) | undefined;

  readonly handlers = {
    data: (socket: Bun.Socket, chunk: Buffer) => {
      // The runtime uses its buffer again.
      if (!this.push(Buffer.from(chunk))) socket.pause();
    },
    drain: () => this.#flush(),
    end: () => void this.push(null),
    close: () => this.#closed(),
    error: (_: Bun.Socket, error: Error) => void this.destroy(error),
  };

  constructor() {
    super({ allowHalfOpen: true });
  }

  attach(socket: Bun.Socket): void {
    this.#socket = socket;
  }

  override _read(): void {
    this.#socket?.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pending = chunk;
    this.#written = done;
    this.#flush();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket?.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket?.terminate();
    this.#socket = undefined;
    done(error);
  }

  #flush(): void {
    while (this.#pending !== undefined && this.#pending.length > 0) {
      const count = this.#socket?.write(this.#pending) ?? 0;
      if (count <= 0) return;
      this.#pending = this.#pending.subarray(count);
    }
    const done = this.#written;
    this.#pending = undefined;
    this.#written = undefined;
    done?.();
  }

  #closed(): void {
    this.#socket = undefined;
    this.push(null);
    if (this.#written !== undefined) this.destroy();
  }
}
