import type { Field } from "../http1/fields.ts";
import { type OriginRequest, originRequestHead } from "../http1/origin-request.ts";
import { ResponseReader } from "../http1/response-reader.ts";
import { type ByteSocket, Flow } from "../relay.ts";
import type { Failure, ServerExchange, ServerExchangeEvents } from "./server-exchange.ts";

/** Bytes of an answer that may wait for the client before the server is not read any more. */
const HELD_BYTES = 262_144;
const NOTHING = Buffer.alloc(0);

/** What an exchange tells the connection that it runs on. */
export interface Http1ConnectionOwner {
  /** The answer is complete. `reusable`: the next request may follow. */
  exchangeOver(reusable: boolean): void;
}

/** One request over a server's HTTP/1.1 connection, for a client that speaks another version: framing is translated both ways. */
export class Http1ServerExchange implements ServerExchange {
  readonly #socket: ByteSocket;
  readonly #events: ServerExchangeEvents;
  readonly #owner: Http1ConnectionOwner;
  readonly #chunked: boolean;
  /** The connection has answered another request before. */
  readonly #kept: boolean;
  readonly #flow = new Flow();
  readonly #reader: ResponseReader;
  /** Final status; 0 before it. */
  #status = 0;
  #received = false;
  #held = 0;
  #bodySent: boolean;
  #over = false;

  constructor(
    request: OriginRequest,
    host: string,
    { socket, kept, owner }: { readonly socket: ByteSocket; readonly kept: boolean; readonly owner: Http1ConnectionOwner },
    events: ServerExchangeEvents,
  ) {
    this.#socket = socket;
    this.#events = events;
    this.#owner = owner;
    this.#kept = kept;
    this.#chunked = request.body.kind === "chunked";
    this.#bodySent = request.body.kind === "none";
    // The reader's own output is for HTTP/1 clients; here its parts are taken as they pass.
    this.#reader = new ResponseReader(
      { method: request.method, version: "1.1", upgrade: "", keepAlive: true },
      { head: (status, fields) => this.#fields(status, fields), body: (chunk) => this.#content(chunk) },
    );
    this.#send(originRequestHead(request, host));
  }

  get queued(): number {
    return this.#flow.waiting;
  }

  write(bytes: Buffer): void {
    if (this.#over || bytes.length === 0) return;
    if (!this.#chunked) this.#send(bytes);
    else this.#send(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]));
  }

  end(trailers: readonly Field[]): void {
    if (this.#over || this.#bodySent) return;
    this.#bodySent = true;
    if (!this.#chunked) return;
    const lines = trailers.map(({ name, value }) => `${name}: ${value}\r\n`).join("");
    this.#send(Buffer.from(`0\r\n${lines}\r\n`, "latin1"));
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#flow.drop();
    this.#owner.exchangeOver(false);
  }

  consumed(size: number): void {
    const before = this.#held;
    this.#held = Math.max(0, before - size);
    if (!this.#over && before > HELD_BYTES && this.#held <= HELD_BYTES) this.#socket.resume();
  }

  // What the connection says.

  received(bytes: Buffer): void {
    if (this.#over) return;
    this.#received = true;
    const { rest } = this.#reader.take(bytes);
    if (this.#over) return;
    if (this.#reader.problem !== undefined) this.#fail(this.#reader.problem);
    else if (this.#reader.done) this.#done(rest === undefined && !this.#reader.serverCloses);
  }

  drained(): void {
    this.#flow.drained(undefined, this.#socket);
    this.#events.serverProgress();
  }

  closed(): void {
    if (this.#over) return;
    if (this.#reader.finish().complete) this.#done(false);
    else this.#fail("the server closed the connection before its answer was complete");
  }

  /** Called by the reader: interim heads, the head, trailers. */
  #fields(status: number, fields: readonly Field[]): readonly Field[] {
    if (status < 200) {
      this.#events.serverInterim(status, fields);
    } else if (this.#status === 0) {
      this.#status = status;
      this.#events.serverHead(status, fields, false);
    } else {
      this.#trailers = fields;
    }
    return fields;
  }

  #trailers: readonly Field[] = [];

  #content(chunk: Buffer): Buffer {
    if (chunk.length === 0 || this.#over) return NOTHING;
    const before = this.#held;
    this.#held += chunk.length;
    if (before <= HELD_BYTES && this.#held > HELD_BYTES) this.#socket.pause();
    this.#events.serverData(chunk);
    return NOTHING;
  }

  #done(reusable: boolean): void {
    this.#over = true;
    if (this.#held > HELD_BYTES) this.#socket.resume();
    this.#events.serverEnded(this.#trailers);
    if (!this.#bodySent) this.#events.serverBodyUnwanted();
    this.#owner.exchangeOver(reusable && this.#bodySent && this.queued === 0);
  }

  #fail(problem: string): void {
    this.#over = true;
    this.#flow.drop();
    const failure: Failure = { problem, code: undefined, unprocessed: this.#kept && !this.#received };
    this.#owner.exchangeOver(false);
    this.#events.serverFailed(failure);
  }

  #send(bytes: Buffer): void {
    this.#flow.pass(bytes, undefined, this.#socket);
  }
}
