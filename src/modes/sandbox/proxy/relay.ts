/** What a relay needs of a connection; the sockets of `Bun.listen` and `Bun.connect` are some, TLS ended by us is another. */
export interface ByteSocket {
  /** How many bytes were taken; fewer than given: wait for `drain`. Negative: the socket is gone. */
  write(bytes: Uint8Array): number;
  /** Nothing more will be written: FIN behind what was. */
  shutdown(): void;
  /** Closes once what was written is delivered. */
  end(): void;
  /** Closes at once, by a reset. */
  terminate(): void;
  pause(): void;
  resume(): void;
}

/** Where bytes come from, as far as slowing it down goes. */
export type ByteSource = Pick<ByteSocket, "pause" | "resume">;

/** One direction of a tunnel: what could not be written yet, and whether its source has finished. */
export class Flow {
  #pending: Buffer | undefined;
  #finished = false;

  /** Bytes that the destination has not taken yet. */
  get waiting(): number {
    return this.#pending?.length ?? 0;
  }

  /** Nothing more will come, and everything has been handed to the kernel. */
  get settled(): boolean {
    return this.#finished && this.#pending === undefined;
  }

  /** Passes bytes on; a destination that cannot take them stops the source until `drained`. */
  pass(bytes: Buffer, from: ByteSource | undefined, to: ByteSocket): void {
    if (this.#pending !== undefined) {
      this.#pending = Buffer.concat([this.#pending, bytes]);
      return;
    }
    const written = Math.max(0, to.write(bytes));
    if (written < bytes.length) {
      this.#pending = bytes.subarray(written);
      from?.pause();
    }
  }

  /** The destination can take more. */
  drained(from: ByteSource | undefined, to: ByteSocket): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const written = Math.max(0, to.write(pending));
    this.#pending = written < pending.length ? pending.subarray(written) : undefined;
    if (this.#pending !== undefined) return;
    if (this.#finished) to.shutdown();
    else from?.resume();
  }

  /** The source has finished (FIN): the destination learns it behind the last byte. */
  finish(to: ByteSocket): void {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#pending === undefined) to.shutdown();
  }
}

/**
 * Two sockets joined: bytes both ways with backpressure, each direction ending by itself, a reset passed on as a reset. `onEnd` is called
 * once, when both sockets are gone.
 */
export class Tunnel {
  #client: ByteSocket | undefined;
  #upstream: ByteSocket | undefined;
  readonly #up: Flow;
  readonly #down: Flow;
  readonly #owner: { tunnelEnded(): void };

  /** `flows`: what is already under way between the two. */
  constructor(
    client: ByteSocket,
    upstream: ByteSocket,
    owner: { tunnelEnded(): void },
    flows: { readonly up: Flow; readonly down: Flow } = { up: new Flow(), down: new Flow() },
  ) {
    this.#client = client;
    this.#upstream = upstream;
    this.#owner = owner;
    this.#up = flows.up;
    this.#down = flows.down;
  }

  toUpstream(bytes: Buffer): void {
    if (this.#upstream !== undefined) this.#up.pass(bytes, this.#client, this.#upstream);
  }

  toClient(bytes: Buffer): void {
    if (this.#client !== undefined) this.#down.pass(bytes, this.#upstream, this.#client);
  }

  clientDrained(): void {
    if (this.#client !== undefined) this.#down.drained(this.#upstream, this.#client);
    this.#endWhatIsSettled();
  }

  upstreamDrained(): void {
    if (this.#upstream !== undefined) this.#up.drained(this.#client, this.#upstream);
    this.#endWhatIsSettled();
  }

  clientFinished(): void {
    if (this.#upstream !== undefined) this.#up.finish(this.#upstream);
    this.#endWhatIsSettled();
  }

  upstreamFinished(): void {
    if (this.#client !== undefined) this.#down.finish(this.#client);
    this.#endWhatIsSettled();
  }

  /** The client's socket is gone; without an error its last bytes still reach the other side. */
  clientClosed(error: Error | undefined): void {
    this.#client = undefined;
    if (this.#upstream === undefined) this.#owner.tunnelEnded();
    else if (error !== undefined) this.#upstream.terminate();
    else this.clientFinished();
  }

  upstreamClosed(error: Error | undefined): void {
    this.#upstream = undefined;
    if (this.#client === undefined) this.#owner.tunnelEnded();
    else if (error !== undefined) this.#client.terminate();
    else this.upstreamFinished();
  }

  /** Ends both sides at once, discarding what is under way. */
  abort(): void {
    this.#client?.terminate();
    this.#upstream?.terminate();
  }

  /** `end` closes a socket and lets the kernel deliver what it has; it is for sockets that have nothing more to receive. */
  #endWhatIsSettled(): void {
    const clientDone = this.#client === undefined || this.#down.settled;
    const upstreamDone = this.#upstream === undefined || this.#up.settled;
    const { upstream, client } = { upstream: this.#upstream, client: this.#client };
    if (upstream !== undefined && upstreamDone && (clientDone || client === undefined)) upstream.end();
    if (client !== undefined && clientDone && (upstreamDone || upstream === undefined)) client.end();
  }
}
