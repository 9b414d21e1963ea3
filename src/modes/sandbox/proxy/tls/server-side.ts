import { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";
import type { Socket } from "bun";
import { giveBack } from "../give-back.ts";
import { FLOW_MINIMUM_BYTES, HeldBytes, isMemoryShort } from "../held-bytes.ts";
import type { ByteSocket } from "../relay.ts";

/** What a client sends inside TLS, and what became of it. */
export interface ServerSideEvents {
  /** The handshake is complete. */
  secured(): void;
  data(bytes: Buffer): void;
  /** After a short `write`: more can be taken. */
  drained(): void;
  /** The client will send nothing more. */
  ended(): void;
  /** The handshake failed or a record was wrong. */
  failed(error: Error): void;
  /** One of the handlers above has thrown: a fault of ours, not of TLS. */
  faulted(error: unknown): void;
}

/** Encrypted bytes that may wait for the client; beyond it, `write` takes nothing. As much as a kernel's socket buffer starts with. */
const HIGH_WATER_BYTES = 262_144;

const highWater = () => (isMemoryShort() ? FLOW_MINIMUM_BYTES : HIGH_WATER_BYTES);

/**
 * Our end of a client's TLS, over an accepted socket whose bytes are fed in. Bytes read before it was known that the client speaks TLS can
 * be fed too, which the TLS of native sockets cannot take.
 */
export class TlsServerSide implements ByteSocket {
  readonly #raw: ByteSocket;
  readonly #wire: Wire;
  readonly #tls: TLSSocket;
  readonly #native: Socket<undefined>;
  readonly #events: ServerSideEvents;
  /** What was agreed on; undefined: nothing. */
  protocol: string | undefined;
  /** What the raw socket did not take yet. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  readonly #held = new HeldBytes();
  /** Our FIN is owed behind what waits. */
  #finishing = false;
  #wantsDrain = false;
  #shutDown = false;
  #ended = false;
  #gone = false;

  constructor(raw: ByteSocket, context: SecureContext, alpn: readonly string[], events: ServerSideEvents) {
    this.#raw = raw;
    this.#events = events;
    this.#wire = new Wire({
      write: (bytes) => this.#send(bytes),
      end: () => {
        this.#finishing = true;
        this.#finish();
      },
    });
    const options = { isServer: true, secureContext: context, ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }) };
    this.#tls = new TLSSocket(this.#wire, options);
    this.#tls.on("error", (error: Error) => this.#fail(error));
    this.#wire.on("error", (error: Error) => this.#fail(error));
    this.#native = nativeSocketOf(this.#tls);
    this.#native.reload({
      socket: {
        handshake: (socket, complete, error) => {
          if (complete) this.#handled(() => this.#secured(socket));
          else this.#fail(error ?? new Error("the client ended the handshake"));
        },
        data: (_, bytes) => this.#handled(() => events.data(bytes)),
        drain: () => this.#handled(() => this.#drained()),
        end: () => this.#handled(() => this.#end()),
        close: () => this.#handled(() => this.#end()),
        error: (_, error) => this.#fail(error),
      },
    });
  }

  /** Bytes from the raw socket. */
  feed(bytes: Buffer): void {
    if (!this.#gone) this.#wire.emit("data", bytes);
  }

  rawDrained(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const written = Math.max(0, this.#raw.write(next));
      this.#waitingBytes -= written;
      if (written < next.length) {
        this.#waiting[0] = next.subarray(written);
        break;
      }
      this.#waiting.shift();
      giveBack(next);
    }
    this.#held.set(this.#waitingBytes);
    this.#finish();
    this.#drained();
  }

  /** FIN of the raw socket. */
  rawEnded(): void {
    if (!this.#gone) this.#wire.emit("end");
  }

  /** The raw socket is gone. */
  rawClosed(): void {
    this.#gone = true;
    this.#waiting = [];
    this.#held.set(0);
    this.#tls.destroy();
    this.#wire.destroy();
  }

  write(bytes: Uint8Array): number {
    if (this.#gone) return -1;
    if (this.#waitingBytes > highWater()) {
      this.#wantsDrain = true;
      return 0;
    }
    // While memory is short, of a large piece no second, encrypted one is made.
    const most = this.#waitingBytes > 0 && isMemoryShort() ? FLOW_MINIMUM_BYTES : bytes.length;
    const written = this.#native.write(bytes.subarray(0, most));
    this.#wantsDrain = written >= 0 && written < bytes.length;
    return written;
  }

  shutdown(): void {
    if (this.#shutDown || this.#gone) return;
    this.#shutDown = true;
    this.#native.shutdown();
  }

  end(): void {
    this.shutdown();
  }

  terminate(): void {
    this.rawClosed();
    this.#raw.terminate();
  }

  pause(): void {
    this.#raw.pause();
  }

  resume(): void {
    this.#raw.resume();
  }

  #secured(socket: Socket<undefined>): void {
    const { alpnProtocol } = socket;
    this.protocol = typeof alpnProtocol === "string" ? alpnProtocol : undefined;
    this.#events.secured();
  }

  /** Encrypted bytes: a copy that was made for us. */
  #send(bytes: Buffer): void {
    const written = this.#waiting.length > 0 ? 0 : Math.max(0, this.#raw.write(bytes));
    if (written === bytes.length) {
      giveBack(bytes);
      return;
    }
    this.#waiting.push(bytes.subarray(written));
    this.#waitingBytes += bytes.length - written;
    this.#held.set(this.#waitingBytes);
  }

  #finish(): void {
    if (!this.#finishing || this.#gone || this.#waiting.length > 0) return;
    this.#finishing = false;
    this.#raw.shutdown();
  }

  #drained(): void {
    if (!this.#wantsDrain || this.#waitingBytes > highWater()) return;
    this.#wantsDrain = false;
    this.#events.drained();
  }

  #end(): void {
    if (this.#ended || this.#gone) return;
    this.#ended = true;
    this.#events.ended();
  }

  /** What is thrown out of a handler, the socket would report as an error of its own. */
  #handled(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!this.#gone) this.#events.faulted(error);
    }
  }

  #fail(error: Error): void {
    if (!this.#gone) this.#events.failed(error);
  }
}

/**
 * What TLS reads from by the event `data` and writes to. A stream in name alone: bytes that go out are taken at once, always (of what a stream kept
 * for later under load, clients got records that they could not decrypt), and bytes that come in wait nowhere.
 */
class Wire extends Duplex {
  readonly #to: { write(bytes: Buffer): void; end(): void };

  constructor(to: { write(bytes: Buffer): void; end(): void }) {
    super();
    this.#to = to;
  }

  override write(bytes: Buffer): boolean {
    this.#to.write(bytes);
    return true;
  }

  override end(): this {
    this.#to.end();
    return this;
  }

  override pause(): this {
    return this;
  }

  override resume(): this {
    return this;
  }

  override _read(): void {}
}

/**
 * The socket of Bun below a `TLSSocket`: in all but the way to get it a documented one. Handlers of our own on it spare two streams, an eighth of
 * what a request costs. A fault in one of them is reported as an error of the connection.
 */
function nativeSocketOf(tls: TLSSocket): Socket<undefined> {
  const { _handle } = tls as unknown as { readonly _handle: Socket<undefined> | null };
  if (_handle === null || typeof _handle?.reload !== "function") throw new TypeError("this Bun has TLS of another make");
  return _handle;
}
