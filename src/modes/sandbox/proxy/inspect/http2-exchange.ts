import { nominatedFields } from "../http1/connection-options.ts";
import type { Field } from "../http1/fields.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { HeadError, type Refusal } from "../http1/refused.ts";
import { ByteQueue } from "../http2/byte-queue.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Malformed, readTrailers, writtenFields } from "../http2/fields.ts";
import type { DecodedBlock } from "../http2/hpack-decoder.ts";
import { type RequestSite, readHttp2Request } from "../http2/request-head.ts";
import { writeHttp2Response } from "../http2/response-head.ts";
import type { Http2Stream, StreamEvents } from "../http2/stream.ts";
import { CollectedBody, NO_ROOM_FOR_BODY } from "./collected-body.ts";
import type { Gate } from "./gate.ts";
import { grpcAnswer, isGrpc } from "./grpc-answer.ts";
import type { Origin } from "./origin.ts";
import type { Answer, Collect, Forward, Ruling } from "./ruling.ts";
import { isRepeatable, withBody } from "./sent-request.ts";
import type { Failure, ServerExchange, ServerExchangeEvents } from "./server-exchange.ts";

/** What one request of an HTTP/2 client works with. */
export interface ExchangeHost {
  readonly site: RequestSite;
  readonly gate: Gate;
  readonly origin: Origin;
  /** The whole body is waited for, or no longer. */
  collecting(exchange: Http2Exchange, waits: boolean): void;
  over(exchange: Http2Exchange): void;
}

const NOTHING = Buffer.alloc(0);
/**
 * Of a body whose request has been answered here. A client that is told to stop (RST_STREAM) at once loses the answer: curl before 8 throws it away.
 */
const MAX_DISCARDED_BYTES = 1_048_576;

/**
 * One request of a client that speaks HTTP/2, from its head to the end of the answer: read strictly, ruled on, and only then sent; bodies
 * stream with the backpressure of the slower side.
 */
export class Http2Exchange implements StreamEvents, ServerExchangeEvents {
  readonly #client: Http2Stream;
  readonly #host: ExchangeHost;
  /** As the client sent it; undefined: unreadable. */
  #request: OriginRequest | undefined;
  #forward: Forward | undefined;
  #collect: { readonly collect: Collect; readonly body: CollectedBody } | undefined;
  /** The body that goes instead of the client's. */
  #replacement: Buffer | undefined;
  #server: ServerExchange | undefined;
  #takeBack: (() => void) | undefined;
  /** Of the client's body: what waits for the server to be there. */
  readonly #early = new ByteQueue();
  #bodyLeft: number | undefined;
  #requestEnded = false;
  #requestTrailers: readonly Field[] = [];
  /** Received of the client, and of the server, and not passed on. */
  #heldUp = 0;
  #heldDown = 0;
  /** none: the client has no head yet. server: it has the server's. ours: it has our answer. */
  #answered: "none" | "server" | "ours" = "none";
  #status = 0;
  #discarded = 0;
  #repeated = false;
  #over = false;

  constructor(client: Http2Stream, host: ExchangeHost) {
    this.#client = client;
    this.#host = host;
  }

  /** `last`: there is no body. */
  begin(block: DecodedBlock, last: boolean): void {
    const result = readHttp2Request(block, last, this.#host.site);
    this.#requestEnded = last;
    if (result.kind === "malformed") {
      this.#host.gate.unreadable({ status: 400, code: "malformed", reason: result.reason });
      this.#client.reset(ErrorCode.protocolError);
    } else if (result.kind === "refused") {
      this.#respond(this.#host.gate.unreadable(result), result.method);
    } else {
      this.#request = result.request;
      this.#bodyLeft = result.request.body.kind === "length" ? result.request.body.length : undefined;
      this.#follow(this.#host.gate.rule(result.request), result.request, last ? NOTHING : undefined);
    }
  }

  /** Whether a new policy would let it begin; what no longer may is ended. */
  policyChanged(): void {
    if (this.#over || this.#request === undefined || this.#forward === undefined || this.#answered === "ours") return;
    if (!this.#host.gate.mayGoOn(this.#request)) this.#client.reset(ErrorCode.cancel);
  }

  /** The whole body has not come in time. */
  expire(refusal: Refusal): void {
    if (this.#collect !== undefined) this.#respond(this.#host.gate.unreadable(refusal), this.#request?.method);
  }

  // What the client sends.

  data(bytes: Buffer, last: boolean): void {
    if (this.#bodyLeft !== undefined) {
      this.#bodyLeft -= bytes.length;
      if (this.#bodyLeft < 0 || (last && this.#bodyLeft > 0)) {
        this.#client.reset(ErrorCode.protocolError);
        return;
      }
    }
    if (this.#collect !== undefined) this.#keep(bytes);
    else if (this.#answered === "ours") this.#discard(bytes.length);
    else if (this.#forward === undefined || this.#replacement !== undefined) this.#client.consume(bytes.length);
    else this.#passUp(bytes);
    if (last) this.#endRequest();
  }

  block(block: DecodedBlock, last: boolean): void {
    try {
      if (!last || block.tooLarge || (this.#bodyLeft ?? 0) > 0) throw new Malformed("trailers");
      this.#requestTrailers = readTrailers(block.fields);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#client.reset(ErrorCode.protocolError);
      return;
    }
    this.#endRequest();
  }

  closed(code: number): void {
    this.#abandon(code);
  }

  finished(): void {
    this.#freeDown();
    const heldUp = this.#heldUp;
    this.#abandon(heldUp > 0 ? ErrorCode.cancel : ErrorCode.noError);
    this.#client.consume(heldUp);
  }

  /** The client has taken some of the answer. */
  progress(): void {
    this.#freeDown();
    if (this.#client.localEnded && !this.#requestEnded && this.#answered !== "ours" && this.#server === undefined)
      this.#client.reset(ErrorCode.noError);
  }

  /** The client has its answer: what it still sends is of no interest, but is taken for a while, see `MAX_DISCARDED_BYTES`. */
  #discard(size: number): void {
    this.#discarded += size;
    this.#client.consume(size);
    if (this.#discarded > MAX_DISCARDED_BYTES && this.#client.localEnded) this.#client.reset(ErrorCode.noError);
  }

  #passUp(bytes: Buffer): void {
    this.#heldUp += bytes.length;
    this.#sendUp(bytes, false);
    this.#freeUp();
  }

  /** By way of what changes bodies; `last`: nothing of it follows. */
  #sendUp(bytes: Buffer, last: boolean): void {
    const passed = this.#changed(bytes, last);
    if (passed === undefined || passed.length === 0) return;
    if (this.#server === undefined) this.#early.push(passed);
    else this.#server.write(passed);
  }

  /** Undefined: the body is refused, and the client has its answer. */
  #changed(bytes: Buffer, last: boolean): Buffer | undefined {
    const filter = this.#forward?.content;
    if (filter === undefined) return bytes;
    try {
      return filter.body(bytes, last);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const answer = this.#host.gate.unreadable(error.refusal);
      this.#takeBack?.();
      this.#early.clear();
      const server = this.#server;
      this.#server = undefined;
      server?.cancel(ErrorCode.cancel);
      if (this.#answered === "none") this.#respond(answer, this.#request?.method);
      else this.#client.reset(ErrorCode.internalError);
      return undefined;
    }
  }

  #endRequest(): void {
    this.#requestEnded = true;
    const collected = this.#collect;
    if (collected !== undefined) this.#collected(collected.collect, collected.body.take());
    else if (this.#replacement === undefined) {
      if (this.#forward?.content !== undefined && this.#answered !== "ours") this.#sendUp(NOTHING, true);
      this.#server?.end(this.#requestTrailers);
    }
  }

  // What was ruled.

  /** `body`: the whole of it, once it is known. */
  #follow(ruling: Ruling, request: OriginRequest, body: Buffer | undefined): void {
    if (ruling.kind === "answer") this.#respond(ruling.answer, request.method);
    else if (ruling.kind === "forward") this.#send(ruling, request, body);
    else if (body !== undefined) this.#collected(ruling, body);
    else this.#startCollecting(ruling, request);
  }

  #startCollecting(collect: Collect, request: OriginRequest): void {
    if (request.body.kind === "length" && request.body.length > collect.limit) {
      this.#respond(collect.exceeded(), request.method);
      return;
    }
    this.#collect = { collect, body: new CollectedBody(collect.limit) };
    this.#host.collecting(this, true);
    if (request.fields.some(({ lower }) => lower === "expect")) this.#client.headers([[":status", "100"]], false);
  }

  #keep(bytes: Buffer): void {
    if (this.#collect === undefined) return;
    const { collect, body } = this.#collect;
    this.#client.consume(bytes.length);
    body.push(bytes);
    if (body.state === "exceeded") this.#respond(collect.exceeded(), this.#request?.method);
    else if (body.state === "no room") this.#respond(this.#host.gate.unreadable(NO_ROOM_FOR_BODY), this.#request?.method);
  }

  #collected(collect: Collect, body: Buffer): void {
    if (this.#collect !== undefined) this.#host.collecting(this, false);
    this.#collect = undefined;
    if (this.#request === undefined || this.#over) return;
    if (body.length > collect.limit) this.#respond(collect.exceeded(), this.#request.method);
    else this.#follow(collect.ruled(body), this.#request, body);
  }

  #send(forward: Forward, request: OriginRequest, collected: Buffer | undefined): void {
    const whole = forward.body ?? (request.body.kind === "none" ? undefined : collected);
    this.#replacement = whole;
    const passed = whole === undefined ? forward.request : withBody(forward.request, whole.length);
    this.#forward = { ...forward, request: passed };
    this.#ask(passed);
  }

  #ask(request: OriginRequest): void {
    const takeBack = this.#host.origin.request(request, this);
    if (this.#server === undefined && !this.#over) this.#takeBack = takeBack;
  }

  // What the server says.

  serverOpened(server: ServerExchange): void {
    this.#takeBack = undefined;
    if (this.#over) {
      server.cancel(ErrorCode.cancel);
      return;
    }
    this.#server = server;
    if (this.#replacement !== undefined) {
      server.write(this.#replacement);
      server.end([]);
      return;
    }
    while (this.#early.length > 0) server.write(this.#early.take(this.#early.length));
    if (this.#requestEnded) server.end(this.#requestTrailers);
    this.#freeUp();
  }

  serverInterim(status: number, fields: readonly Field[]): void {
    if (this.#answered === "none") this.#client.headers(writeHttp2Response(status, this.#shown(status, fields)), false);
  }

  serverHead(status: number, fields: readonly Field[], last: boolean): void {
    if (this.#answered !== "none") return;
    const shown = this.#passable(status, fields);
    if (shown === undefined) return;
    this.#answered = "server";
    this.#status = status;
    this.#forward?.answered?.(status);
    const written = writeHttp2Response(status, shown);
    const unknownLength = this.#forward?.response?.body !== undefined && !last;
    this.#client.headers(unknownLength ? written.filter(([name]) => name !== "content-length") : written, last);
  }

  /** What the client gets of a head; undefined: a filter has refused it, and the client has its answer. */
  #passable(status: number, fields: readonly Field[]): readonly Field[] | undefined {
    try {
      return this.#shown(status, fields);
    } catch (error) {
      if (!(error instanceof HeadError)) throw error;
      const server = this.#server;
      this.#server = undefined;
      server?.cancel(ErrorCode.cancel);
      this.#respond(this.#host.gate.badGateway(`response head: ${error.refusal.reason}`), this.#request?.method);
      return undefined;
    }
  }

  serverData(bytes: Buffer): void {
    if (this.#over || this.#answered === "ours") return;
    this.#heldDown += bytes.length;
    this.#client.write(this.#forward?.response?.body?.(bytes, false) ?? bytes);
    this.#freeDown();
  }

  serverProgress(): void {
    this.#freeUp();
  }

  serverEnded(trailers: readonly Field[]): void {
    if (this.#answered === "ours") return;
    const filter = this.#forward?.response;
    const held = filter?.body?.(NOTHING, true);
    if (held !== undefined) this.#client.write(held);
    const shown = trailers.length === 0 ? [] : this.#shown(this.#status, trailers);
    this.#client.end(writtenFields(shown, nominatedFields(shown)));
  }

  serverBodyUnwanted(): void {
    this.#server = undefined;
    if (this.#client.localEnded && !this.#requestEnded) this.#client.reset(ErrorCode.noError);
  }

  serverFailed({ problem, code, unprocessed }: Failure): void {
    this.#server = undefined;
    if (this.#over) return;
    if (unprocessed && this.#repeat()) return;
    // "No error" in the middle of an answer would make half of it look whole.
    const reset = code === undefined || code === ErrorCode.noError ? undefined : code;
    if (this.#answered === "none" && reset === undefined) this.#respond(this.#host.gate.badGateway(problem), this.#request?.method);
    else this.#client.reset(reset ?? ErrorCode.internalError);
  }

  /** Once, and only what may be sent twice and has no body that is gone. */
  #repeat(): boolean {
    const request = this.#forward?.request;
    if (this.#repeated || this.#answered !== "none" || request === undefined) return false;
    if (!isRepeatable(request)) return false;
    this.#repeated = true;
    this.#ask(request);
    return true;
  }

  #shown(status: number, fields: readonly Field[]): readonly Field[] {
    return this.#forward?.response?.head(status, fields) ?? fields;
  }

  // The windows.

  /** What the server has taken, the client may send again. */
  #freeUp(): void {
    const waiting = this.#server === undefined ? this.#early.length : this.#server.queued;
    const passed = this.#heldUp - waiting;
    if (passed <= 0) return;
    this.#heldUp -= passed;
    this.#client.consume(passed);
  }

  #freeDown(): void {
    const passed = this.#heldDown - this.#client.queued;
    if (passed <= 0) return;
    this.#heldDown -= passed;
    this.#server?.consumed(passed);
  }

  // Answers of ours, and the end.

  #respond(answer: Answer, method: string | undefined): void {
    if (this.#collect !== undefined) this.#host.collecting(this, false);
    this.#collect?.body.drop();
    this.#collect = undefined;
    this.#answered = "ours";
    this.#status = answer.status;
    if (isGrpc(this.#request?.fields ?? [])) {
      this.#client.headers(grpcAnswer(answer), true);
      if (!this.#requestEnded) this.#client.reset(ErrorCode.noError);
      return;
    }
    const fields = writeHttp2Response(answer.status, answer.fields);
    const bodiless = method === "HEAD" || answer.body.length === 0;
    this.#client.headers([...fields, ["content-length", String(answer.body.length)]], bodiless);
    if (!bodiless) {
      this.#client.write(answer.body);
      this.#client.end();
    } else if (!this.#requestEnded) {
      this.#client.reset(ErrorCode.noError);
    }
  }

  #abandon(code: number): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#collect !== undefined) this.#host.collecting(this, false);
    this.#collect?.body.drop();
    this.#collect = undefined;
    this.#early.clear();
    this.#forward?.content?.drop();
    this.#takeBack?.();
    const server = this.#server;
    this.#server = undefined;
    if (code !== ErrorCode.noError || !this.#requestEnded) server?.cancel(ErrorCode.cancel);
    this.#host.over(this);
  }
}
