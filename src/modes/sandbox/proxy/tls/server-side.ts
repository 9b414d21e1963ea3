import { Duplex } from "node:stream";
import { type SecureContext, TLSSocket } from "node:tls";
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
}

/** Encrypted bytes that may wait for the client; beyond it, `write` takes nothing. As much as a kernel's socket buffer starts with. */
const HIGH_WATER_BYTES = 262_144;

/**
 * Our end of a client's TLS, over an accepted socket whose bytes are fed in. Bytes read before it was known that the client speaks TLS can
 * be fed too, which the TLS of native sockets cannot take.
 */
export class TlsServerSide implements ByteSocket {
  readonly #raw: ByteSocket;
  readonly #wire: Duplex;
  readonly #tls: TLSSocket;
  readonly #events: ServerSideEvents;
  /** What the raw socket did not take yet. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Our FIN is owed behind what waits. */
  #finishing: (() => void) | undefined;
  #wantsDrain = false;
  #gone = false;

  constructor(raw: ByteSocket, context: SecureContext, alpn: readonly string[], events: ServerSideEvents) {
    this.#raw = raw;
    this.#events = events;
    this.#wire = new Duplex({
      read: () => raw.resume(),
      // Taken at once, always: of what the stream kept for later under load, clients got records that they could not decrypt (Bun 1.4.5).
      write: (bytes: Buffer, _, done) => {
        this.#send(bytes);
        done();
      },
      final: (done) => {
        this.#finishing = done;
        this.#finish();
      },
      destroy: (_, done) => done(null),
    });
    const options = { isServer: true, secureContext: context, ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }) };
    this.#tls = new TLSSocket(this.#wire, options);
    this.#tls.on("secure", () => events.secured());
    this.#tls.on("data", (bytes: Buffer) => events.data(bytes));
    this.#tls.on("end", () => events.ended());
    this.#tls.on("error", (error: Error) => this.#fail(error));
    this.#wire.on("error", (error: Error) => this.#fail(error));
  }

  /** What was agreed on; undefined: nothing. */
  get protocol(): string | undefined {
    const { alpnProtocol } = this.#tls;
    return typeof alpnProtocol === "string" ? alpnProtocol : undefined;
  }

  /** Bytes from the raw socket. */
  feed(bytes: Buffer): void {
    if (!this.#gone && !this.#wire.push(bytes)) this.#raw.pause();
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
    }
    this.#finish();
    if (!this.#wantsDrain || this.#waitingBytes > HIGH_WATER_BYTES) return;
    this.#wantsDrain = false;
    this.#events.drained();
  }

  /** FIN of the raw socket. */
  rawEnded(): void {
    if (!this.#gone) this.#wire.push(null);
  }

  /** The raw socket is gone. */
  rawClosed(): void {
    this.#gone = true;
    this.#tls.destroy();
    this.#wire.destroy();
  }

  write(bytes: Uint8Array): number {
    if (this.#gone) return -1;
    if (this.#waitingBytes > HIGH_WATER_BYTES) {
      this.#wantsDrain = true;
      return 0;
    }
    this.#tls.write(bytes);
    return bytes.length;
  }

  shutdown(): void {
    this.#tls.end();
  }

  end(): void {
    this.#tls.end();
  }

  terminate(): void {
    this.rawClosed();
    this.#raw.terminate();
  }

  pause(): void {
    this.#tls.pause();
  }

  resume(): void {
    this.#tls.resume();
  }

  #send(bytes: Buffer): void {
    const written = this.#waiting.length > 0 ? 0 : Math.max(0, this.#raw.write(bytes));
    if (written === bytes.length) return;
    this.#waiting.push(bytes.subarray(written));
    this.#waitingBytes += bytes.length - written;
  }

  #finish(): void {
    const done = this.#finishing;
    if (done === undefined || this.#waiting.length > 0) return;
    this.#finishing = undefined;
    this.#raw.shutdown();
    done();
  }

  #fail(error: Error): void {
    if (!this.#gone) this.#events.failed(error);
  }
}
