import type { SecureContext } from "node:tls";
import type { DecodedBlock } from "../proxy/http2/hpack-decoder.ts";
import { Http2Session, type SessionHost } from "../proxy/http2/session.ts";
import type { Http2Stream } from "../proxy/http2/stream.ts";
import { type ByteSocket, Flow } from "../proxy/relay.ts";
import { TLS_HANDSHAKE } from "../proxy/tls/client-hello.ts";
import { TlsServerSide } from "../proxy/tls/server-side.ts";
import type { GrpcStatus } from "./grpc-message.ts";
import type { AgentRelay } from "./relay.ts";
import { StreamCall } from "./stream-call.ts";

/** What the connection needs of the one that accepted it. */
export interface ControlPlaneHost {
  /** The present state ends in `expire` after so many milliseconds; 0: never. */
  lasts(milliseconds: number): void;
  /** A call was answered; `method` is the one of HTTP. */
  called(method: string, path: string, status: GrpcStatus): void;
  /** Nothing is left. */
  ended(): void;
}

export interface ControlPlaneSetup {
  readonly client: ByteSocket;
  /** Our certificate for the name of the gateway inside. */
  readonly certificate: SecureContext;
  readonly relay: AgentRelay;
  /** Time for what a client must complete once it has begun: handshake, preface, frame, header block. */
  readonly headMs: number;
  readonly host: ControlPlaneHost;
}

const NOT_HTTP2 = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
const NOT_HTTP2_BODY = `${JSON.stringify({ error: "permission_denied", detail: "only gRPC calls are answered here, over HTTP/2" })}\n`;

/** A program inside that talks to its gateway: TLS is ended here, or HTTP/2 comes in the clear; each stream is one call. */
export class ControlPlaneConnection implements SessionHost {
  readonly #setup: ControlPlaneSetup;
  readonly #session: Http2Session;
  #tls: TlsServerSide | undefined;
  #mode: "first" | "http2" | "over" = "first";
  /** Bytes that are not yet enough to tell what is spoken. */
  #early: Buffer = Buffer.alloc(0);
  #down = new Flow();
  #blocked = false;
  #unread = 0;

  constructor(setup: ControlPlaneSetup) {
    this.#setup = setup;
    this.#session = new Http2Session("server", this, () => performance.now());
    setup.host.lasts(setup.headMs);
  }

  get #client(): ByteSocket {
    return this.#tls ?? this.#setup.client;
  }

  /** No server is behind it as far as the accepted connection goes. */
  get upstream(): undefined {
    return undefined;
  }

  /** No policy is about it. */
  outlived(): boolean {
    return false;
  }

  // What the client's socket says.

  clientData(bytes: Buffer): void {
    if (this.#tls !== undefined) this.#tls.feed(bytes);
    else if (this.#mode === "first" && bytes[0] === TLS_HANDSHAKE && this.#early.length === 0) this.#secure(bytes);
    else this.#received(bytes);
  }

  clientDrained(): void {
    if (this.#tls !== undefined) this.#tls.rawDrained();
    else this.#drained();
  }

  clientEnded(): void {
    if (this.#tls !== undefined) this.#tls.rawEnded();
    else this.#close();
  }

  clientClosed(_error: Error | undefined): void {
    this.#tls?.rawClosed();
    this.#mode = "over";
    this.#session.close();
    this.#setup.host.ended();
  }

  /** What was begun was not completed in time. */
  expire(): void {
    this.abort();
  }

  abort(): void {
    this.#mode = "over";
    this.#session.close();
    this.#setup.client.terminate();
  }

  #secure(bytes: Buffer): void {
    this.#tls = new TlsServerSide(this.#setup.client, this.#setup.certificate, ["h2"], {
      secured: () => {},
      data: (plain) => this.#received(plain),
      drained: () => this.#drained(),
      ended: () => this.#close(),
      failed: () => this.abort(),
      faulted: () => this.abort(),
    });
    this.#tls.feed(bytes);
  }

  #received(bytes: Buffer): void {
    if (this.#mode === "over") return;
    if (this.#mode === "first") {
      this.#early = Buffer.concat([this.#early, bytes]);
      const beginning = this.#early.toString("latin1", 0, PREFACE.length);
      if (!beginning.startsWith(PREFACE) && !PREFACE.startsWith(beginning)) {
        this.#refuse();
        return;
      }
      if (beginning.length < PREFACE.length) return;
      this.#mode = "http2";
      this.#session.receive(this.#early);
    } else this.#session.receive(bytes);
    this.flush();
    this.#setup.host.lasts(this.#session.unfinished ? this.#setup.headMs : 0);
  }

  #refuse(): void {
    this.#mode = "over";
    this.#client.write(Buffer.from(NOT_HTTP2 + NOT_HTTP2_BODY));
    this.#client.end();
  }

  #drained(): void {
    this.#blocked = false;
    this.#down.drained(undefined, this.#client);
    this.flush();
  }

  #close(): void {
    this.#mode = "over";
    this.#session.close();
    this.#client.end();
  }

  // What the session asks for.

  get writable(): boolean {
    return !this.#blocked;
  }

  send(bytes: Buffer): void {
    // Answers wait for their window; what is sent all the same (acknowledgements) piles up when the client reads nothing.
    this.#unread = this.#blocked ? this.#unread + bytes.length : 0;
    if (this.#unread > MAX_UNREAD_BYTES) {
      this.abort();
      return;
    }
    this.#down.pass(bytes, { pause: () => (this.#blocked = true), resume: () => {} }, this.#client);
  }

  opened(stream: Http2Stream, block: DecodedBlock, last: boolean): void {
    const { relay, host } = this.#setup;
    const call = new StreamCall(stream, block, {
      call: (...request) => relay.call(...request),
      ended: (...call) => host.called(...call),
      flush: () => this.flush(),
    });
    stream.events = call;
    call.begin(block.tooLarge, last);
  }

  capacity(): void {}

  failed(): void {
    this.#session.flush();
    this.#mode = "over";
    this.#client.end();
    this.#setup.host.lasts(this.#setup.headMs);
  }

  flush(): void {
    this.#session.flush();
  }
}

/** Frames that are no answers, for a client that does not read: far more than any that is merely slow gets. */
const MAX_UNREAD_BYTES = 262_144;

/** What HTTP/2 begins with; enough of it to tell it from anything else. */
const PREFACE = "PRI * HTTP/2.0\r\n";
