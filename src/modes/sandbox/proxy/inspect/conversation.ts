import type { Authority } from "../http1/authority.ts";
import { BodyReader } from "../http1/body.ts";
import { type OriginRequest, readOriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";
import { ResponseReader } from "../http1/response-reader.ts";

/** What was decided about one request: what the server gets of it and the head as bytes, or the whole answer that the client gets. */
export type Ruling =
  | { readonly forward: true; readonly request: OriginRequest; readonly head: Buffer }
  | { readonly forward: false; readonly answer: Buffer };

/** What a conversation asks of whoever owns the sockets and makes the decisions. */
export interface ConversationHost {
  /** Decides one request; nothing of it has been sent anywhere. */
  rule(request: OriginRequest): Ruling;
  /** The answer to a request that could not be read. */
  refuse(refusal: Refusal): Buffer;
  /** The answer when the server cannot be reached or does not answer as HTTP does. */
  badGateway(problem: string): Buffer;
  toClient(bytes: Buffer): void;
  toUpstream(bytes: Buffer): void;
  /** Ends in `upstreamReady` or `upstreamFailed`. */
  openUpstream(): void;
  dropUpstream(): void;
  /** Nothing more is sent to the client behind what was; whatever else it sends is of no interest. */
  finishClient(): void;
  /** Ends everything at once. */
  abort(): void;
  /** Stops reading from the client until `releaseClient`. */
  holdClient(): void;
  releaseClient(): void;
  /** `idle`: no request is under way. `head`: part of one is here. `busy`: one is being answered. */
  entered(phase: "idle" | "head" | "busy"): void;
  /** Both sides have changed to another protocol; with what has already come of it. */
  switched(request: OriginRequest, fromServer: Buffer | undefined, fromClient: Buffer | undefined): void;
}

/** Bytes of following requests that are kept while one is answered; the client waits beyond. */
export const MAX_PIPELINED_BYTES = 65_536;

/** RFC 9110 section 9.2.2: may be sent again on a new connection when a kept one turns out to be closed. */
const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

interface Exchange {
  readonly request: OriginRequest;
  readonly head: Buffer;
  readonly body: BodyReader;
  readonly response: ResponseReader;
  bodyBytes: number;
  responseBytes: number;
}

/**
 * HTTP/1.1 between one client and one server, one request at a time: each is read strictly, ruled on, and only then sent; bodies stream.
 * Owns no socket and no clock. A request is never sent before the answer to the one before it is complete.
 */
export class Conversation {
  readonly #authority: Authority;
  readonly #host: ConversationHost;
  /** `head`: between requests. `connecting`: ruled on, no server yet. `exchange`: under way. `over`: nothing more happens. */
  #turn: "head" | "connecting" | "exchange" | "over" = "head";
  #pending: Buffer | undefined;
  #exchange: Exchange | undefined;
  #connected: boolean;
  /** The server's connection has answered before, so it may have closed without knowing of this request. */
  #kept = false;
  #clientFinished = false;

  constructor(authority: Authority, host: ConversationHost, state: { readonly connected: boolean }) {
    this.#authority = authority;
    this.#host = host;
    this.#connected = state.connected;
  }

  clientData(bytes: Buffer): void {
    if (this.#turn === "over") return;
    this.#pending = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#advance();
    if (this.#pending !== undefined && this.#pending.length > MAX_PIPELINED_BYTES && this.#turn !== "head") this.#host.holdClient();
  }

  /** FIN of the client: an answer that is owed is still sent. */
  clientFinished(): void {
    this.#clientFinished = true;
    if (this.#turn === "head") this.#finish();
    else if (this.#exchange !== undefined && !this.#exchange.body.done) this.#abort();
  }

  upstreamReady(): void {
    if (this.#turn !== "connecting" || this.#exchange === undefined) return;
    this.#connected = true;
    this.#kept = false;
    this.#turn = "exchange";
    this.#host.toUpstream(this.#exchange.head);
    this.#host.releaseClient();
    this.#advance();
  }

  upstreamFailed(problem: string): void {
    this.#connected = false;
    if (this.#turn === "connecting") this.#end(this.#host.badGateway(problem));
  }

  upstreamData(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (this.#turn !== "exchange" || exchange === undefined || exchange.response.done) {
      // An answer that nobody asked for would be taken for the answer to the next request.
      this.#disconnect();
      return;
    }
    exchange.responseBytes += bytes.length;
    const { output, rest } = exchange.response.take(bytes);
    // One write is one TLS record and one system call.
    const [first] = output;
    if (first !== undefined) this.#host.toClient(output.length === 1 ? first : Buffer.concat(output));
    if (exchange.response.problem !== undefined) this.#fail(exchange.response.problem);
    else if (exchange.response.status === 101) this.#switch(exchange, rest);
    else if (exchange.response.done) {
      if (rest !== undefined) this.#disconnect();
      this.#settle(exchange);
    }
  }

  /** The server has closed its side, or all of the connection. */
  upstreamFinished(): void {
    const exchange = this.#exchange;
    const connected = this.#connected;
    this.#disconnect();
    if (!connected || this.#turn !== "exchange" || exchange === undefined) return;
    if (exchange.response.finish()) this.#finish();
    else if (this.#kept && exchange.responseBytes === 0 && isRepeatable(exchange)) this.#connect();
    else this.#fail("the server closed the connection before its answer was complete");
  }

  #advance(): void {
    while (this.#turn === "head" && this.#pending !== undefined) {
      if (!this.#readRequest(this.#pending)) return;
    }
    if (this.#turn === "exchange") this.#sendBody();
  }

  /** True when a whole head was there and has been dealt with. */
  #readRequest(bytes: Buffer): boolean {
    const result = readOriginRequest(bytes, this.#authority);
    if (result.kind === "incomplete") {
      this.#host.entered("head");
      return false;
    }
    if (result.kind === "refused") {
      this.#end(this.#host.refuse(result));
      return true;
    }
    this.#pending = result.size < bytes.length ? bytes.subarray(result.size) : undefined;
    this.#host.entered("busy");
    const ruling = this.#host.rule(result.request);
    if (!ruling.forward) {
      this.#end(ruling.answer);
      return true;
    }
    const { request } = ruling;
    const body = new BodyReader(request.body);
    this.#exchange = { request, head: ruling.head, body, response: new ResponseReader(request), bodyBytes: 0, responseBytes: 0 };
    if (!this.#connected) {
      this.#connect();
    } else {
      this.#turn = "exchange";
      this.#host.toUpstream(ruling.head);
    }
    return true;
  }

  #connect(): void {
    this.#turn = "connecting";
    this.#host.openUpstream();
  }

  #sendBody(): void {
    const exchange = this.#exchange;
    const bytes = this.#pending;
    if (exchange === undefined || bytes === undefined || exchange.body.done) return;
    const size = exchange.body.take(bytes);
    if (exchange.body.problem !== undefined) {
      this.#abort();
      return;
    }
    this.#pending = size < bytes.length ? bytes.subarray(size) : undefined;
    exchange.bodyBytes += size;
    if (size > 0) this.#host.toUpstream(bytes.subarray(0, size));
    if (exchange.response.done) this.#settle(exchange);
  }

  /** The answer is complete. The next request is read once this one's body has passed as well. */
  #settle(exchange: Exchange): void {
    if (!exchange.body.done && this.#connected && !exchange.response.serverCloses && !owesNoBody(exchange)) return;
    if (exchange.response.serverCloses) this.#disconnect();
    if (!exchange.body.done || exchange.response.clientCloses || this.#clientFinished) {
      this.#finish();
      return;
    }
    this.#exchange = undefined;
    this.#kept = true;
    this.#turn = "head";
    this.#host.entered("idle");
    this.#host.releaseClient();
    // Not from inside the reading of the answer: a thousand pipelined requests would be a thousand frames deep.
    if (this.#pending !== undefined) queueMicrotask(() => this.#advance());
  }

  #switch(exchange: Exchange, fromServer: Buffer | undefined): void {
    this.#turn = "over";
    this.#host.releaseClient();
    this.#host.switched(exchange.request, fromServer, this.#pending);
  }

  #fail(problem: string): void {
    if (this.#exchange?.response.status === 0) this.#end(this.#host.badGateway(problem));
    else this.#abort();
  }

  #end(answer: Buffer): void {
    this.#host.toClient(answer);
    this.#finish();
  }

  #finish(): void {
    this.#turn = "over";
    this.#pending = undefined;
    this.#disconnect();
    this.#host.releaseClient();
    this.#host.finishClient();
  }

  #abort(): void {
    this.#turn = "over";
    this.#pending = undefined;
    this.#host.abort();
  }

  #disconnect(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#host.dropUpstream();
  }
}

function isRepeatable({ request }: Exchange): boolean {
  return request.body.kind === "none" && REPEATABLE.has(request.method);
}

/** A client that waits for `100 Continue` sends no body when it gets another answer. */
function owesNoBody({ request, bodyBytes }: Exchange): boolean {
  return bodyBytes === 0 && request.fields.some((field) => field.lower === "expect");
}
