import { answerBytes } from "../http1/answer.ts";
import type { Authority } from "../http1/authority.ts";
import { hostField } from "../http1/origin-form.ts";
import { type OriginRequest, originRequestHead, readOriginRequest } from "../http1/origin-request.ts";
import { PassedBody } from "../http1/passed-body.ts";
import { HeadError, type Refusal } from "../http1/refused.ts";
import { ResponseReader } from "../http1/response-reader.ts";
import { nextTurn } from "../turns.ts";
import { NO_ROOM_FOR_BODY } from "./collected-body.ts";
import { Collector } from "./collector.ts";
import type { Answer, Forward, Ruling, StreamInspector } from "./ruling.ts";
import { isRepeatable, withBody } from "./sent-request.ts";

/** What a conversation asks of whoever owns the sockets and makes the decisions. */
export interface ConversationHost {
  /** Decides one request; nothing of it has been sent anywhere. */
  rule(request: OriginRequest): Ruling;
  /** Whether a request under way may go on under a new policy. */
  mayGoOn(request: OriginRequest): boolean;
  /** The answer to a request that could not be read. */
  refuse(refusal: Refusal): Answer;
  /** The answer when the server cannot be reached or does not answer as HTTP does. */
  badGateway(problem: string): Answer;
  /** `owned`: nobody else has the memory of these bytes. */
  toClient(bytes: Buffer, owned?: boolean): void;
  toUpstream(bytes: Buffer, owned?: boolean): void;
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
  entered(phase: Phase): void;
  /** Both sides have changed to another protocol; with what has already come of it, and what looks at it from here on. */
  switched(request: OriginRequest, stream: StreamInspector | undefined, early: EarlyBytes): void;
}

/** `idle`: no request is under way. `head`: part of one is here. `body`: all of its body is waited for. `busy`: one is being answered. */
export type Phase = "idle" | "head" | "body" | "busy";

/** Bytes behind a change of protocol that came together with it. */
export interface EarlyBytes {
  readonly fromServer: Buffer | undefined;
  readonly fromClient: Buffer | undefined;
}

/** Bytes of following requests that are kept while one is answered; the client waits beyond. */
export const MAX_PIPELINED_BYTES = 65_536;

export interface ConversationSetup {
  readonly authority: Authority;
  readonly scheme: "http" | "https";
  /** The server's connection stands already. */
  readonly connected: boolean;
  /** A client that has closed its side is taken for gone: an answer that takes minutes should not be made for nobody. */
  readonly abandons?: boolean;
  /** Others wait; never when absent. */
  readonly turnIsOver?: () => boolean;
}

interface Exchange {
  /** As the client sent it. */
  readonly request: OriginRequest;
  readonly forward: Forward;
  /** The head as the server gets it, with the body where that is known whole. */
  readonly head: Buffer;
  readonly body: PassedBody;
  /** The server gets another body than the client's. */
  readonly replaced: boolean;
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
  readonly #hostField: string;
  readonly #abandons: boolean;
  readonly #turnIsOver: () => boolean;
  /** `head`: between requests. `body`: all of one is waited for. `connecting`: ruled on, no server yet. `exchange`: under way. */
  #turn: "head" | "body" | "connecting" | "exchange" | "over" = "head";
  #pending: Buffer | undefined;
  #collector: Collector | undefined;
  #exchange: Exchange | undefined;
  #connected: boolean;
  /** The server's connection has answered before, so it may have closed without knowing of this request. */
  #kept = false;
  #clientFinished = false;

  constructor({ authority, scheme, connected, abandons = false, turnIsOver = () => false }: ConversationSetup, host: ConversationHost) {
    this.#authority = authority;
    this.#host = host;
    this.#hostField = hostField(authority, scheme);
    this.#connected = connected;
    this.#abandons = abandons;
    this.#turnIsOver = turnIsOver;
  }

  clientData(bytes: Buffer): void {
    if (this.#turn === "over") return;
    this.#pending = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#advance();
    if (this.#pending !== undefined && this.#pending.length > MAX_PIPELINED_BYTES && this.#turn !== "head") this.#host.holdClient();
  }

  /** FIN of the client: an answer that is owed is still sent, see `abandons`. */
  clientFinished(): void {
    this.#clientFinished = true;
    if (this.#turn === "head") this.#finish();
    else if (this.#abandons || this.#turn === "body" || (this.#exchange !== undefined && !this.#exchange.body.done)) this.#abort();
  }

  /** The client is gone. */
  clientClosed(): void {
    this.#turn = "over";
    this.#drop();
  }

  /** What the client owes has not come in time. */
  expire(refusal: Refusal): void {
    if (this.#turn !== "over") this.#end(this.#host.refuse(refusal), this.#collector?.request);
  }

  /** A new policy is in force: what no longer may ends, in the middle of its answer too. */
  policyChanged(): void {
    const exchange = this.#exchange;
    if ((this.#turn === "exchange" || this.#turn === "connecting") && exchange !== undefined && !this.#host.mayGoOn(exchange.request))
      this.#abort();
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
    if (this.#turn === "connecting") this.#end(this.#host.badGateway(problem), this.#exchange?.request);
  }

  upstreamData(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (this.#turn !== "exchange" || exchange === undefined || exchange.response.done) {
      // An answer that nobody asked for would be taken for the answer to the next request.
      this.#disconnect();
      return;
    }
    exchange.responseBytes += bytes.length;
    const begun = exchange.response.status !== 0;
    const { output, rest } = exchange.response.take(bytes);
    if (!begun && exchange.response.status !== 0) exchange.forward.answered?.(exchange.response.status);
    // One write is one TLS record and one system call.
    const [first] = output;
    if (first !== undefined) {
      const whole = output.length === 1 ? first : Buffer.concat(output);
      this.#host.toClient(whole, output.length > 1 || isAllOf(whole, bytes));
    }
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
    const { complete, output } = exchange.response.finish();
    if (output.length > 0) this.#host.toClient(output);
    if (complete) this.#finish();
    else if (this.#kept && exchange.responseBytes === 0 && isRepeatable(exchange.request)) this.#connect();
    else this.#fail("the server closed the connection before its answer was complete");
  }

  #advance(): void {
    while (this.#pending !== undefined) {
      if (this.#turn === "body") this.#collect(this.#pending);
      if (this.#turn !== "head" || this.#pending === undefined) break;
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
      this.#end(this.#host.refuse(result), undefined);
      return true;
    }
    this.#pending = result.size < bytes.length ? bytes.subarray(result.size) : undefined;
    this.#host.entered("busy");
    this.#follow(this.#host.rule(result.request), result.request, undefined);
    return true;
  }

  /** `body`: the whole of it, once it has been collected. */
  #follow(ruling: Ruling, request: OriginRequest, body: Buffer | undefined): void {
    if (ruling.kind === "forward") {
      this.#forward(ruling, request, body);
    } else if (ruling.kind === "answer") {
      this.#reply(ruling.answer, request, body !== undefined || request.body.kind === "none");
    } else if (body !== undefined) {
      if (body.length > ruling.limit) this.#reply(ruling.exceeded(), request, true);
      else this.#follow(ruling.ruled(body), request, body);
    } else {
      this.#collector = new Collector(request, ruling);
      this.#turn = "body";
      this.#host.entered("body");
      this.#collect(undefined);
    }
  }

  #collect(bytes: Buffer | undefined): void {
    const collector = this.#collector;
    if (collector === undefined) return;
    this.#pending = bytes === undefined ? this.#pending : collector.take(bytes);
    const { request, collect, problem } = collector;
    if (problem !== undefined) {
      this.#end(this.#host.refuse({ status: 400, code: "body_framing", reason: problem }), request);
    } else if (collector.noRoom) {
      this.#end(this.#host.refuse(NO_ROOM_FOR_BODY), request);
    } else if (collector.exceeded) {
      this.#end(collect.exceeded(), request);
    } else if (collector.done) {
      this.#collector = undefined;
      this.#turn = "head";
      this.#host.entered("busy");
      const body = collector.body();
      this.#follow(collect.ruled(body), request, body);
    } else if (this.#pending === undefined && collector.inviteBody()) {
      this.#host.toClient(CONTINUE);
    }
  }

  #forward(forward: Forward, request: OriginRequest, collected: Buffer | undefined): void {
    const whole = forward.body ?? (request.body.kind === "none" ? undefined : collected);
    const passed = whole === undefined ? forward.request : withBody(forward.request, whole.length);
    const head = originRequestHead(passed, this.#hostField);
    this.#exchange = {
      request,
      forward,
      head: whole === undefined ? head : Buffer.concat([head, whole]),
      body: new PassedBody(
        collected === undefined ? request.body : { kind: "none" },
        collected === undefined ? forward.content : undefined,
      ),
      replaced: whole !== undefined,
      response: new ResponseReader({ ...request, upgrade: passed.upgrade }, forward.response),
      bodyBytes: 0,
      responseBytes: 0,
    };
    if (!this.#connected) {
      this.#connect();
    } else {
      this.#turn = "exchange";
      this.#host.toUpstream(this.#exchange.head);
    }
  }

  #connect(): void {
    this.#turn = "connecting";
    this.#host.openUpstream();
  }

  #sendBody(): void {
    const exchange = this.#exchange;
    const bytes = this.#pending;
    if (exchange === undefined || bytes === undefined || exchange.body.done) return;
    const taken = this.#takeBody(exchange, bytes);
    if (taken === undefined) return;
    const { size, passed } = taken;
    if (exchange.body.problem !== undefined) {
      this.#abort();
      return;
    }
    this.#pending = size < bytes.length ? bytes.subarray(size) : undefined;
    exchange.bodyBytes += size;
    if (passed.length > 0 && !exchange.replaced) this.#host.toUpstream(passed, isAllOf(passed, bytes));
    if (exchange.response.done) this.#settle(exchange);
  }

  /** Undefined: a filter has refused the body, and that is dealt with. */
  #takeBody(exchange: Exchange, bytes: Buffer): ReturnType<PassedBody["take"]> | undefined {
    try {
      return exchange.body.take(bytes);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const answer = this.#host.refuse(error.refusal);
      if (exchange.response.status === 0) this.#end(answer, exchange.request);
      else this.#abort();
      return undefined;
    }
  }

  /** The answer is complete. The next request is read once this one's body has passed as well. */
  #settle(exchange: Exchange): void {
    if (!exchange.body.done && this.#connected && !exchange.response.serverCloses && !owesNoBody(exchange)) return;
    if (exchange.response.serverCloses) this.#disconnect();
    if (!exchange.body.done || exchange.response.clientCloses || this.#clientFinished) {
      this.#finish();
      return;
    }
    this.#kept = true;
    this.#next();
  }

  /** The connection goes on to its next request. */
  #next(): void {
    this.#drop();
    this.#exchange = undefined;
    this.#turn = "head";
    this.#host.entered("idle");
    this.#host.releaseClient();
    // Not from inside the reading of the answer: a thousand pipelined requests would be a thousand frames deep.
    if (this.#pending === undefined) return;
    const advance = () => this.#advance();
    if (this.#turnIsOver()) nextTurn(advance);
    else queueMicrotask(advance);
  }

  #switch(exchange: Exchange, fromServer: Buffer | undefined): void {
    this.#turn = "over";
    this.#host.releaseClient();
    this.#host.switched(exchange.forward.request, exchange.forward.stream, { fromServer, fromClient: this.#pending });
  }

  #fail(problem: string): void {
    if (this.#exchange?.response.status === 0) this.#end(this.#host.badGateway(problem), this.#exchange.request);
    else this.#abort();
  }

  /** An answer of ours in place of the server's. `wholeBody`: nothing of the request is still to come. */
  #reply(answer: Answer, request: OriginRequest, wholeBody: boolean): void {
    if (answer.close || !wholeBody || !request.keepAlive || this.#clientFinished) {
      this.#end(answer, request);
      return;
    }
    this.#host.toClient(answerBytes(answer, request.method, false));
    this.#next();
  }

  #end(answer: Answer, request: OriginRequest | undefined): void {
    this.#host.toClient(answerBytes(answer, request?.method, true));
    this.#finish();
  }

  #finish(): void {
    this.#turn = "over";
    this.#drop();
    this.#pending = undefined;
    this.#disconnect();
    this.#host.releaseClient();
    this.#host.finishClient();
  }

  #abort(): void {
    this.#turn = "over";
    this.#drop();
    this.#pending = undefined;
    this.#host.abort();
  }

  /** What was kept of bodies. */
  #drop(): void {
    this.#collector?.drop();
    this.#exchange?.body.drop();
  }

  #disconnect(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#host.dropUpstream();
  }
}

/** What was read is passed on as it came, to its last byte: nobody needs its memory any more. */
function isAllOf(passed: Buffer, read: Buffer): boolean {
  return passed.buffer === read.buffer && passed.length === read.buffer.byteLength;
}

const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/** A client that waits for `100 Continue` sends no body when it gets another answer. */
function owesNoBody({ request, bodyBytes }: Exchange): boolean {
  return bodyBytes === 0 && request.fields.some((field) => field.lower === "expect");
}
