import type { OriginRequest } from "../http1/origin-request.ts";
import { ErrorCode } from "../http2/errors.ts";
import { writeHttp2Request } from "../http2/request-head.ts";
import { Http2Session, type SessionHost } from "../http2/session.ts";
import { Flow } from "../relay.ts";
import { Http1ServerExchange } from "./http1-server-exchange.ts";
import { Http2ServerExchange } from "./http2-server-exchange.ts";
import type { ServerExchangeEvents } from "./server-exchange.ts";
import { HTTP1, HTTP2, type Upstream, type UpstreamEvents } from "./upstream.ts";

export interface ServerConnectionOwner {
  /** It can take a request, or can no longer. */
  changed(): void;
  /** It never stood. */
  unreachable(connection: ServerConnection, problem: string): void;
  /** It is gone. */
  lost(connection: ServerConnection): void;
}

export interface ServerSite {
  readonly scheme: "http" | "https";
  /** As the server is named in requests. */
  readonly host: string;
}

/** One connection to the server: HTTP/2 with many requests, or HTTP/1.1 with one at a time, as the server has chosen. */
export class ServerConnection implements UpstreamEvents, SessionHost {
  readonly #upstream: Upstream;
  readonly #site: ServerSite;
  readonly #owner: ServerConnectionOwner;
  #session: Http2Session | undefined;
  #exchange: Http1ServerExchange | undefined;
  #flow = new Flow();
  #state: "opening" | "open" | "gone" = "opening";
  #kept = false;
  #held = false;

  constructor(upstream: Upstream, site: ServerSite, owner: ServerConnectionOwner) {
    this.#upstream = upstream;
    this.#site = site;
    this.#owner = owner;
    upstream.events = this;
  }

  get opening(): boolean {
    return this.#state === "opening";
  }

  /** What the server speaks; undefined: not known. */
  get protocol(): "h2" | "http/1.1" | undefined {
    if (this.#state !== "open") return undefined;
    return this.#session === undefined ? HTTP1 : HTTP2;
  }

  get hasRoom(): boolean {
    if (this.#state !== "open") return false;
    return this.#session === undefined ? this.#exchange === undefined : this.#session.hasRoom;
  }

  /** It stands and takes no further request, ever. */
  get replaced(): boolean {
    return this.#session?.closing === true;
  }

  /** Requests under way. */
  get active(): number {
    return this.#session?.active ?? (this.#exchange === undefined ? 0 : 1);
  }

  open(): void {
    if (this.#upstream.socket !== undefined && !this.#upstream.opening) this.upstreamReady();
    else this.#upstream.open(this.#site.scheme, this.#site.scheme === "https" ? [HTTP2, HTTP1] : [HTTP1]);
  }

  /** Sends the head of a request; false: there was no room after all. */
  request(request: OriginRequest, events: ServerExchangeEvents): boolean {
    const { host, scheme } = this.#site;
    const { socket } = this.#upstream;
    if (!this.hasRoom || socket === undefined) return false;
    if (this.#session !== undefined) {
      const exchange = new Http2ServerExchange(request, events);
      const stream = this.#session.request(writeHttp2Request(request, host, scheme), request.body.kind === "none", exchange);
      if (stream === undefined) return false;
      exchange.attach(stream);
      events.serverOpened(exchange);
      return true;
    }
    const exchange = new Http1ServerExchange(request, host, { socket, kept: this.#kept, owner: this }, events);
    this.#exchange = exchange;
    events.serverOpened(exchange);
    return true;
  }

  /** Sends what waits; true when something was. */
  flush(): boolean {
    return this.#session?.flush() ?? false;
  }

  /** No request will be made again; what there is ends at once. */
  close(): void {
    this.#gone();
    this.#upstream.drop();
  }

  abort(): void {
    this.#gone();
    this.#upstream.abort();
  }

  // HTTP/1: the exchange is over.

  exchangeOver(reusable: boolean): void {
    this.#exchange = undefined;
    this.#kept = true;
    if (reusable) {
      this.#owner.changed();
      return;
    }
    this.close();
    this.#owner.lost(this);
  }

  // HTTP/2: what the session asks for.

  send(bytes: Buffer, owned = false): void {
    const { socket } = this.#upstream;
    if (socket !== undefined) this.#flow.pass(bytes, undefined, socket, owned);
    this.#hold();
  }

  get writable(): boolean {
    return this.#flow.waiting === 0;
  }

  opened(): void {}

  capacity(): void {
    if (this.#state === "open") this.#owner.changed();
  }

  failed(): void {
    this.#session?.flush();
    this.close();
    this.#owner.lost(this);
  }

  // What the socket says.

  upstreamReady(): void {
    this.#state = "open";
    if (this.#upstream.protocol === HTTP2) this.#session = new Http2Session("client", this, () => performance.now());
    this.#owner.changed();
  }

  upstreamFailed(problem: string): void {
    this.#state = "gone";
    this.#owner.unreachable(this, problem);
  }

  upstreamData(bytes: Buffer): void {
    if (this.#session !== undefined) this.#session.receive(bytes);
    else if (this.#exchange !== undefined) this.#exchange.received(bytes);
    // An answer that nobody asked for would be taken for the answer to the next request.
    else this.#end();
    this.#owner.changed();
  }

  upstreamDrained(): void {
    const { socket } = this.#upstream;
    if (this.#session === undefined) this.#exchange?.drained();
    else if (socket !== undefined) this.#flow.drained(undefined, socket);
    this.#hold();
    this.#owner.changed();
  }

  upstreamEnded(): void {
    this.#end();
  }

  upstreamClosed(): void {
    this.#end();
  }

  /** A server that does not read what we must send is not read either. */
  #hold(): void {
    const hold = this.#flow.waiting > HOLD_BYTES;
    if (hold === this.#held) return;
    this.#held = hold;
    if (hold) this.#upstream.socket?.pause();
    else this.#upstream.socket?.resume();
  }

  #end(): void {
    if (this.#state === "gone") return;
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#gone();
    this.#upstream.drop();
    exchange?.closed();
    this.#owner.lost(this);
  }

  #gone(): void {
    this.#state = "gone";
    this.#session?.close(ErrorCode.internalError);
    this.#flow.drop();
  }
}

/** Acknowledgements and window updates that may wait for a peer that does not read. */
export const HOLD_BYTES = 65_536;
