import type { Field } from "../http1/fields.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { ErrorCode } from "../http2/errors.ts";
import { Malformed, readTrailers, writtenFields } from "../http2/fields.ts";
import type { DecodedBlock } from "../http2/hpack-decoder.ts";
import { readHttp2Response } from "../http2/response-head.ts";
import type { Http2Stream, StreamEvents } from "../http2/stream.ts";
import { MAX_INTERIM, type ServerExchange, type ServerExchangeEvents } from "./server-exchange.ts";

const NONE: ReadonlySet<string> = new Set();

/** One request on a stream of a server's HTTP/2 connection. */
export class Http2ServerExchange implements ServerExchange, StreamEvents {
  readonly #method: string;
  readonly #events: ServerExchangeEvents;
  #stream: Http2Stream | undefined;
  #interim = 0;
  #headSeen = false;
  /** Bytes of the body that were announced and have not come. */
  #left: number | undefined;
  #over = false;

  constructor(request: OriginRequest, events: ServerExchangeEvents) {
    this.#method = request.method;
    this.#events = events;
  }

  /** The stream that it runs on, once that is open. */
  attach(stream: Http2Stream): void {
    this.#stream = stream;
  }

  get queued(): number {
    return this.#stream?.queued ?? 0;
  }

  write(bytes: Buffer): void {
    this.#stream?.write(bytes);
  }

  end(trailers: readonly Field[]): void {
    this.#stream?.end(writtenFields(trailers, NONE));
  }

  cancel(code: number): void {
    this.#over = true;
    this.#stream?.reset(code);
  }

  consumed(size: number): void {
    this.#stream?.consume(size);
  }

  block(block: DecodedBlock, last: boolean): void {
    if (this.#over) return;
    if (this.#headSeen) {
      this.#trailers(block, last);
      return;
    }
    const head = readHttp2Response(block);
    if (typeof head === "string") {
      this.#broken(head);
      return;
    }
    const { status, fields, length } = head;
    if (status < 200) {
      if (last || ++this.#interim > MAX_INTERIM) {
        this.#broken("an interim answer that ends the stream, or too many of them");
        return;
      }
      this.#events.serverInterim(status, fields);
      return;
    }
    this.#headSeen = true;
    this.#left = this.#method === "HEAD" || status === 204 || status === 304 ? 0 : length;
    if (last && this.#left !== undefined && this.#left > 0) {
      this.#broken("an answer shorter than its content-length");
      return;
    }
    if (last) this.#over = true;
    this.#events.serverHead(status, fields, last);
  }

  data(bytes: Buffer, last: boolean): void {
    if (this.#over) return;
    if (!this.#headSeen) {
      this.#broken("a body before the head of an answer");
      return;
    }
    if (this.#left !== undefined) {
      this.#left -= bytes.length;
      if (this.#left < 0 || (last && this.#left > 0)) {
        this.#broken("an answer of another length than its content-length");
        return;
      }
    }
    if (bytes.length > 0) this.#events.serverData(bytes);
    if (last) this.#ended([]);
  }

  progress(): void {
    this.#events.serverProgress();
  }

  finished(): void {}

  closed(code: number): void {
    if (this.#over) {
      this.#events.serverBodyUnwanted();
      return;
    }
    this.#over = true;
    this.#events.serverFailed({
      problem: `the server ended the stream (code ${code})`,
      code,
      unprocessed: code === ErrorCode.refusedStream && !this.#headSeen,
    });
  }

  #trailers(block: DecodedBlock, last: boolean): void {
    try {
      if (!last || block.tooLarge) throw new Malformed("trailers that do not end the stream, or too many");
      if (this.#left !== undefined && this.#left > 0) throw new Malformed("an answer shorter than its content-length");
      this.#ended(readTrailers(block.fields, "answer"));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#broken(error.message);
    }
  }

  #ended(trailers: readonly Field[]): void {
    this.#over = true;
    this.#events.serverEnded(trailers);
  }

  #broken(problem: string): void {
    this.#over = true;
    this.#stream?.reset(ErrorCode.protocolError);
    this.#events.serverFailed({ problem, code: undefined, unprocessed: false });
  }
}
