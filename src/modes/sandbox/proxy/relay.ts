import { SplicePipe } from "../../../linux/splice.ts";
import { giveBack } from "./give-back.ts";
import { HeldBytes } from "./held-bytes.ts";
import { countPassed } from "./passed-bytes.ts";

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

/** A read of so many bytes means that more are waiting: those are passed on by the kernel. */
const BULK_BYTES = 64 * 1024;
/** Bytes that one connection may move in its turn: about two milliseconds in which others wait. */
const TURN_BYTES = 4 * 1024 * 1024;

/** Descriptors of the two sockets of a flow that carry nothing but its bytes (no TLS of ours); negative when closed. */
interface KernelEnds {
  readonly source: () => number;
  readonly destination: () => number;
}

/** The same of the two sockets of a tunnel. */
export interface TunnelEnds {
  readonly client: () => number;
  readonly upstream: () => number;
}

// One for all tunnels: it is empty between their turns.
const pipe = new SplicePipe();

/** One direction of a tunnel: what could not be written yet, and whether its source has finished. */
export class Flow {
  #pending: Buffer | undefined;
  /** The memory of what waits is ours alone. */
  #owned = false;
  #finished = false;
  readonly #held = new HeldBytes();

  /** Bytes that the destination has not taken yet. */
  get waiting(): number {
    return this.#pending?.length ?? 0;
  }

  /** Nothing more will come, and everything has been handed to the kernel. */
  get settled(): boolean {
    return this.#finished && this.#pending === undefined;
  }

  /**
   * Passes bytes on; a destination that cannot take them stops the source until `drained`.
   * @param owned nobody else has the memory they are in, and it may be freed (see `giveBack`)
   */
  pass(bytes: Buffer, from: ByteSource | undefined, to: ByteSocket, owned = false): void {
    countPassed(bytes.length);
    if (this.#pending !== undefined) {
      const pending = this.#pending;
      this.#pending = Buffer.concat([pending, bytes]);
      if (this.#owned) giveBack(pending);
      if (owned) giveBack(bytes);
      this.#owned = true;
      this.#held.set(this.#pending.length);
      return;
    }
    const written = Math.max(0, to.write(bytes));
    if (written < bytes.length) {
      this.#pending = bytes.subarray(written);
      this.#owned = owned;
      this.#held.set(this.#pending.length);
      from?.pause();
    } else if (owned) giveBack(bytes);
  }

  /** Lets the kernel pass on what has come in behind bytes that were passed; true unless the destination is full again. */
  passMore(from: ByteSource | undefined, to: ByteSocket, { source, destination }: KernelEnds): boolean {
    if (this.#pending !== undefined || this.#finished) return false;
    const [input, output] = [source(), destination()];
    const rest = input < 0 || output < 0 ? undefined : pipe.move(input, output, TURN_BYTES);
    if (rest !== undefined) this.pass(rest, from, to);
    return this.#pending === undefined;
  }

  /** The destination can take more. */
  drained(from: ByteSource | undefined, to: ByteSocket, ends?: KernelEnds): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const written = Math.max(0, to.write(pending));
    this.#pending = written < pending.length ? pending.subarray(written) : undefined;
    this.#held.set(this.waiting);
    if (this.#pending !== undefined) return;
    if (this.#owned) giveBack(pending);
    if (this.#finished) to.shutdown();
    else if (ends === undefined || from === undefined || this.passMore(from, to, ends)) from?.resume();
  }

  /** What waits is of no use to anybody any more. */
  drop(): void {
    if (this.#owned && this.#pending !== undefined) giveBack(this.#pending);
    this.#pending = undefined;
    this.#held.set(0);
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
  readonly #upEnds: KernelEnds | undefined;
  readonly #downEnds: KernelEnds | undefined;

  /** `flows`: what is already under way between the two. `ends`: absent where bytes must pass through this process. */
  constructor(
    client: ByteSocket,
    upstream: ByteSocket,
    owner: { tunnelEnded(): void },
    flows: { readonly up: Flow; readonly down: Flow } = { up: new Flow(), down: new Flow() },
    ends?: TunnelEnds,
  ) {
    this.#client = client;
    this.#upstream = upstream;
    this.#owner = owner;
    this.#up = flows.up;
    this.#down = flows.down;
    this.#upEnds = ends && { source: ends.client, destination: ends.upstream };
    this.#downEnds = ends && { source: ends.upstream, destination: ends.client };
  }

  /** `owned`: see `Flow.pass`. */
  toUpstream(bytes: Buffer, owned = false): void {
    if (this.#upstream === undefined) return;
    const { length } = bytes;
    this.#up.pass(bytes, this.#client, this.#upstream, owned);
    if (this.#upEnds !== undefined && length >= BULK_BYTES) this.#up.passMore(this.#client, this.#upstream, this.#upEnds);
  }

  toClient(bytes: Buffer, owned = false): void {
    if (this.#client === undefined) return;
    const { length } = bytes;
    this.#down.pass(bytes, this.#upstream, this.#client, owned);
    if (this.#downEnds !== undefined && length >= BULK_BYTES) this.#down.passMore(this.#upstream, this.#client, this.#downEnds);
  }

  clientDrained(): void {
    if (this.#client !== undefined) this.#down.drained(this.#upstream, this.#client, this.#downEnds);
    this.#endWhatIsSettled();
  }

  upstreamDrained(): void {
    if (this.#upstream !== undefined) this.#up.drained(this.#client, this.#upstream, this.#upEnds);
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
    this.#down.drop();
    if (this.#upstream === undefined) this.#owner.tunnelEnded();
    else if (error !== undefined) this.#upstream.terminate();
    else this.clientFinished();
  }

  upstreamClosed(error: Error | undefined): void {
    this.#upstream = undefined;
    this.#up.drop();
    if (this.#client === undefined) this.#owner.tunnelEnded();
    else if (error !== undefined) this.#client.terminate();
    else this.upstreamFinished();
  }

  /** Ends both sides at once, discarding what is under way. */
  abort(): void {
    this.#client?.terminate();
    this.#upstream?.terminate();
    this.#up.drop();
    this.#down.drop();
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
