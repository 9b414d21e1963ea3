import { giveBack } from "../proxy/give-back.ts";
import type { Field } from "../proxy/http1/fields.ts";
import { ResponseReader } from "../proxy/http1/response-reader.ts";
import { Upstream, type UpstreamEvents, type UpstreamTarget } from "../proxy/inspect/upstream.ts";
import { Flow } from "../proxy/relay.ts";
import { type AnswerSource, ReceivedBody } from "./received-body.ts";

const NOTHING = Buffer.alloc(0);

/** A provider's answer. */
export interface ProviderAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined: it has none. */
  readonly body: AnswerSource | undefined;
}

/** What stands between a request that was sent and its answer. */
export type ConnectionFailure =
  /** The connection never stood. */
  | { readonly kind: "dial"; readonly detail: string }
  /** It had answered before, and nothing has come of this answer: another connection may be tried. */
  | { readonly kind: "stale"; readonly detail: string }
  | { readonly kind: "broken"; readonly detail: string }
  /** What came is no HTTP/1. */
  | { readonly kind: "protocol"; readonly detail: string };

export type Answered = { readonly answer: ProviderAnswer } | { readonly failure: ConnectionFailure };

/** What a connection tells its owner. */
export interface ConnectionOwner {
  /** The answer is complete, and the next request may follow. */
  idle(connection: ProviderConnection): void;
  gone(connection: ProviderConnection): void;
}

interface Exchange {
  readonly method: string;
  readonly reader: ResponseReader;
  readonly answered: (answered: Answered) => void;
  readonly body: ReceivedBody;
  begun: boolean;
  headed: boolean;
}

/**
 * One HTTP/1.1 connection to a provider, one question at a time. The server is read as fast as the answer is: what a program does not take stays
 * where it is, at the server.
 */
export class ProviderConnection implements UpstreamEvents {
  readonly #upstream: Upstream;
  readonly #scheme: "http" | "https";
  readonly #owner: ConnectionOwner;
  readonly #flow = new Flow();
  #request: Buffer = NOTHING;
  #exchange: Exchange | undefined;
  #kept = false;
  #gone = false;
  /** When it became idle; milliseconds of `performance.now`. */
  idleSince = 0;

  constructor(target: UpstreamTarget, scheme: "http" | "https", owner: ConnectionOwner) {
    this.#upstream = new Upstream(target, this);
    this.#scheme = scheme;
    this.#owner = owner;
  }

  /** Sends a whole request, whose memory is ours from now on; dials first where that has not been done. */
  ask(method: string, request: Buffer): Promise<Answered> {
    return new Promise((answered) => {
      const body = new ReceivedBody({
        pause: () => this.#upstream.socket?.pause(),
        resume: () => this.#upstream.socket?.resume(),
        cancel: () => this.close(),
      });
      const reader = new ResponseReader(
        { method, version: "1.1", upgrade: "", keepAlive: true },
        { head: (status, fields) => this.#head(status, fields), body: (chunk) => this.#content(chunk) },
      );
      this.#exchange = { method, reader, answered, body, begun: false, headed: false };
      this.#request = request;
      this.#upstream.open(this.#scheme);
    });
  }

  /** Ends the connection and whatever is under way on it. */
  close(): void {
    this.#end("broken", "the connection was closed");
  }

  upstreamReady(): void {
    const { socket } = this.#upstream;
    const request = this.#request;
    this.#request = NOTHING;
    if (socket !== undefined) this.#flow.pass(request, undefined, socket, true);
  }

  upstreamFailed(problem: string): void {
    this.#end("dial", problem);
  }

  upstreamDrained(): void {
    const { socket } = this.#upstream;
    if (socket !== undefined) this.#flow.drained(undefined, socket);
  }

  upstreamData(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      // An answer that nobody asked for would be taken for the answer to the next question.
      this.close();
      return;
    }
    exchange.begun = true;
    const { headed } = exchange;
    const { rest } = exchange.reader.take(bytes);
    // Behind the head everything is copied.
    if (headed && rest === undefined && bytes.length === bytes.buffer.byteLength) giveBack(bytes);
    if (this.#exchange !== exchange) return;
    if (exchange.reader.problem !== undefined) this.#end("protocol", exchange.reader.problem);
    else if (exchange.reader.done) this.#done(exchange, rest === undefined && !exchange.reader.serverCloses && this.#flow.waiting === 0);
  }

  upstreamEnded(): void {
    this.#finished();
  }

  upstreamClosed(): void {
    this.#finished();
  }

  #finished(): void {
    const exchange = this.#exchange;
    if (exchange?.headed === true && exchange.reader.finish().complete) this.#done(exchange, false);
    else
      this.#end(
        this.#kept && exchange?.begun === false ? "stale" : "broken",
        "the server closed the connection before its answer was complete",
      );
  }

  /** Called by the reader: interim heads, the head, trailers. */
  #head(status: number, fields: readonly Field[]): readonly Field[] {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.headed || status < 200) return fields;
    exchange.headed = true;
    const headers = headersOf(fields);
    if (headers === undefined) {
      this.#end("protocol", "a field of the answer's head is not valid");
      return fields;
    }
    const none = exchange.method === "HEAD" || status === 204 || status === 304;
    exchange.answered({ answer: { status, headers, body: none ? undefined : exchange.body } });
    return fields;
  }

  #content(chunk: Buffer): Buffer {
    this.#exchange?.body.add(chunk);
    return NOTHING;
  }

  #done(exchange: Exchange, reusable: boolean): void {
    this.#exchange = undefined;
    this.#kept = true;
    exchange.body.finish();
    if (!reusable) {
      this.#drop();
      return;
    }
    this.idleSince = performance.now();
    this.#owner.idle(this);
  }

  #end(kind: ConnectionFailure["kind"], detail: string): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#drop();
    exchange?.body.fail();
    exchange?.answered({ failure: { kind, detail } });
  }

  #drop(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#upstream.abort();
    this.#flow.drop();
    this.#owner.gone(this);
  }
}

function headersOf(fields: readonly Field[]): Headers | undefined {
  try {
    return new Headers(fields.map(({ name, value }): [string, string] => [name, value]));
  } catch {
    return undefined;
  }
}
