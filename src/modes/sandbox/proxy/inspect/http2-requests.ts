import type { Authority } from "../http1/authority.ts";
import { hostField } from "../http1/origin-form.ts";
import { ErrorCode } from "../http2/errors.ts";
import type { DecodedBlock } from "../http2/hpack-decoder.ts";
import { Http2Session, type SessionHost } from "../http2/session.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { EgressLimits } from "../limits.ts";
import { type ByteSocket, Flow } from "../relay.ts";
import { isTurnOver, nextTurn } from "../turns.ts";
import type { Gate } from "./gate.ts";
import { type ExchangeHost, Http2Exchange } from "./http2-exchange.ts";
import { Origin } from "./origin.ts";
import { HOLD_BYTES } from "./server-connection.ts";
import type { Upstream, UpstreamTarget } from "./upstream.ts";

export interface Http2Setup {
  readonly client: ByteSocket;
  readonly authority: Authority;
  readonly scheme: "http" | "https";
  readonly gate: Gate;
  readonly target: UpstreamTarget;
  readonly limits: Pick<EgressLimits, "headMs" | "bodyMs">;
  /** A connection to the server that stands or is being opened. */
  readonly upstream: Upstream;
}

export interface Http2Owner {
  /** The present state ends in `expire` after so many milliseconds; 0: never. */
  lasts(milliseconds: number): void;
  /** The client broke the protocol: it has been told, and its connection is to be closed. */
  broken(code: string, reason: string): void;
}

/** The requests of one client that speaks HTTP/2. */
export class Http2Requests implements SessionHost, ExchangeHost {
  readonly site: { readonly authority: Authority; readonly scheme: "http" | "https" };
  readonly gate: Gate;
  readonly origin: Origin;
  readonly #client: ByteSocket;
  readonly #limits: Pick<EgressLimits, "headMs" | "bodyMs">;
  readonly #owner: Http2Owner;
  readonly #session: Http2Session;
  readonly #down = new Flow();
  readonly #exchanges = new Set<Http2Exchange>();
  /** When each exchange's body must be complete, by `performance.now()`. */
  readonly #bodies = new Map<Http2Exchange, number>();
  /** What the session waits for, and until when. */
  #unfinished: { readonly id: number; readonly until: number } | undefined;
  #expires = 0;
  #settling = true;
  #held = false;
  #over = false;
  /** What has come while requests before it wait for their turn. */
  #waiting: Buffer[] | undefined;

  constructor({ client, authority, scheme, gate, target, limits, upstream }: Http2Setup, owner: Http2Owner) {
    this.#client = client;
    this.#limits = limits;
    this.#owner = owner;
    this.site = { authority, scheme };
    this.gate = gate;
    this.#session = new Http2Session("server", this, () => performance.now());
    this.origin = new Origin(target, { scheme, host: hostField(authority, scheme) }, () => this.#settle(), upstream);
    this.#settling = false;
    this.#settle();
  }

  clientData(bytes: Buffer): void {
    if (this.#waiting !== undefined) {
      this.#waiting.push(bytes);
      return;
    }
    this.#session.receive(bytes);
    this.#settle();
    if (this.#session.interrupted) this.#goOnLater();
  }

  /** Many requests came at once: what is behind them waits until other connections have had their turn. */
  #goOnLater(): void {
    this.#waiting = [];
    this.#hold();
    nextTurn(() => {
      const bytes = Buffer.concat(this.#waiting ?? []);
      this.#waiting = undefined;
      if (this.#over) return;
      this.clientData(bytes);
      this.#hold();
    });
  }

  clientDrained(): void {
    this.#down.drained(undefined, this.#client);
    this.#hold();
    this.#settle();
  }

  /** The client is gone, or sends no more: without it nothing that is under way is of use. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#session.close();
    this.origin.abort();
    this.#owner.lasts(0);
  }

  /** The client is gone, and what waited for it with it. */
  abandon(): void {
    this.close();
    this.#down.drop();
  }

  /** Our FIN behind what was written. */
  finish(): void {
    this.#down.finish(this.#client);
  }

  /** A new policy is in force. */
  policyChanged(): void {
    for (const exchange of [...this.#exchanges]) exchange.policyChanged();
    this.#settle();
  }

  /** Something has lasted too long. */
  expire(): void {
    const now = performance.now();
    const { headMs, bodyMs } = this.#limits;
    for (const [exchange, until] of [...this.#bodies])
      if (until <= now) exchange.expire({ status: 408, code: "body_timeout", reason: `no complete request body within ${bodyMs} ms` });
    if (this.#unfinished !== undefined && this.#unfinished.until <= now)
      this.#session.fail(ErrorCode.enhanceYourCalm, `an unfinished frame or header block for ${headMs} ms`);
    this.#settle();
  }

  // What the session asks for.

  send(bytes: Buffer, owned = false): void {
    this.#down.pass(bytes, undefined, this.#client, owned);
    this.#hold();
  }

  get writable(): boolean {
    return this.#down.waiting === 0;
  }

  opened(stream: Http2Stream, block: DecodedBlock, last: boolean): void {
    const exchange = new Http2Exchange(stream, this);
    stream.events = exchange;
    this.#exchanges.add(exchange);
    exchange.begin(block, last);
  }

  get turnIsOver(): boolean {
    return isTurnOver();
  }

  capacity(): void {}

  failed(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#session.flush();
    this.origin.abort();
    this.#owner.broken(code === ErrorCode.enhanceYourCalm ? "http2_flood" : "http2_protocol", reason);
  }

  // What exchanges ask for.

  collecting(exchange: Http2Exchange, waits: boolean): void {
    if (waits) this.#bodies.set(exchange, performance.now() + this.#limits.bodyMs);
    else this.#bodies.delete(exchange);
  }

  over(exchange: Http2Exchange): void {
    this.#exchanges.delete(exchange);
    this.#bodies.delete(exchange);
  }

  /** Sends on both sides until nothing is left that can be sent: what one side takes opens the window of the other. */
  #settle(): void {
    if (this.#settling || this.#over) return;
    this.#settling = true;
    for (let sent = true; sent && !this.#over; ) {
      sent = this.#session.flush();
      sent = this.origin.flush() || sent;
    }
    this.#settling = false;
    if (!this.#over) this.#deadline();
  }

  #deadline(): void {
    const id = this.#session.unfinished;
    if (id === undefined) this.#unfinished = undefined;
    else if (this.#unfinished?.id !== id) this.#unfinished = { id, until: performance.now() + this.#limits.headMs };
    // Bodies all have the same time, so the first is the next to expire.
    const body: number | undefined = this.#bodies.values().next().value;
    const until = Math.min(this.#unfinished?.until ?? Number.POSITIVE_INFINITY, body ?? Number.POSITIVE_INFINITY);
    if (until === this.#expires) return;
    this.#expires = until;
    this.#owner.lasts(until === Number.POSITIVE_INFINITY ? 0 : Math.max(1, until - performance.now()));
  }

  /** A client that does not read our acknowledgements is not read either. */
  #hold(): void {
    const hold = this.#down.waiting > HOLD_BYTES || this.#waiting !== undefined;
    if (hold === this.#held || this.#over) return;
    this.#held = hold;
    if (hold) this.#client.pause();
    else this.#client.resume();
  }
}
