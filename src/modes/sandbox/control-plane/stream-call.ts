import { Code } from "@connectrpc/connect";
import { ErrorCode } from "../proxy/http2/errors.ts";
import type { DecodedBlock, RawField } from "../proxy/http2/hpack-decoder.ts";
import type { Http2Stream, StreamEvents } from "../proxy/http2/stream.ts";
import { type GrpcStatus, readMessage, statusFields, timeoutOf, writeMessage } from "./grpc-message.ts";
import { AGENT_METHODS, notOpen } from "./methods.ts";
import type { RelayAnswer } from "./relay.ts";

/** Requests name a sandbox and little else. */
const MAX_REQUEST_BYTES = 16_384;

/** Who makes the call, and hears how it went. */
export interface CallHost {
  call(path: string, message: Uint8Array, timeoutMs: number | undefined, signal: AbortSignal): Promise<RelayAnswer>;
  ended(method: string, path: string, status: GrpcStatus): void;
  /** Something waits to be sent. */
  flush(): void;
}

/** One gRPC call on one stream: its whole request, then its whole answer. */
export class StreamCall implements StreamEvents {
  readonly #stream: Http2Stream;
  readonly #host: CallHost;
  readonly #fields: ReadonlyMap<string, string>;
  readonly #abort = new AbortController();
  readonly #pieces: Buffer[] = [];
  #size = 0;
  #answered = false;
  #done: () => void = () => {};

  constructor(stream: Http2Stream, block: DecodedBlock, host: CallHost) {
    this.#stream = stream;
    this.#host = host;
    this.#fields = new Map(block.fields);
  }

  get #path(): string {
    return this.#fields.get(":path") ?? "";
  }

  /** After the head; `last`: there is no body. */
  begin(tooLarge: boolean, last: boolean): void {
    if (tooLarge) this.#finish({ status: { code: Code.ResourceExhausted, message: "the head of the request is too large" } });
    else if (this.#fields.get(":method") !== "POST" || !/^application\/grpc(\+proto)?($|;)/.test(this.#fields.get("content-type") ?? ""))
      this.#notGrpc();
    // A call that would go on for ever must not wait for its end.
    else if (!AGENT_METHODS.has(this.#path)) this.#finish({ status: notOpen(this.#path) });
    else if (last) this.#complete();
  }

  block(_trailers: DecodedBlock, last: boolean): void {
    if (last) this.#complete();
  }

  data(bytes: Buffer, last: boolean): void {
    this.#stream.consume(bytes.length);
    if (this.#answered) return;
    this.#size += bytes.length;
    if (this.#size > MAX_REQUEST_BYTES) {
      const message = `the request has more than ${MAX_REQUEST_BYTES} bytes`;
      this.#finish({ status: { code: Code.ResourceExhausted, message } });
      return;
    }
    this.#pieces.push(Buffer.from(bytes));
    if (last) this.#complete();
  }

  closed(): void {
    this.#answered = true;
    this.#abort.abort();
    this.#done();
  }

  progress(): void {
    if (this.#answered && this.#stream.queued === 0) this.#done();
  }

  finished(): void {
    this.#done();
  }

  #complete(): void {
    if (this.#answered) return;
    const message = readMessage(Buffer.concat(this.#pieces));
    if (typeof message === "string") {
      this.#finish({ status: { code: Code.Unimplemented, message } });
      return;
    }
    void this.#host
      .call(this.#path, message, timeoutOf(this.#fields.get("grpc-timeout")), this.#abort.signal)
      .then((answer) => this.#finish(answer));
  }

  /** Everything but a gRPC call: pages, other protocols, other methods of HTTP. */
  #notGrpc(): void {
    const message = "only gRPC calls are answered here";
    const body = Buffer.from(`${JSON.stringify({ error: "permission_denied", detail: message })}\n`);
    this.#answer(
      [
        [":status", "403"],
        ["content-type", "application/json"],
        ["content-length", String(body.length)],
      ],
      body,
      [],
    );
    this.#host.ended(this.#fields.get(":method") ?? "-", this.#path, { code: Code.PermissionDenied, message });
  }

  #finish({ status, message, done = () => {} }: RelayAnswer): void {
    if (this.#answered) {
      done();
      return;
    }
    const head: RawField[] = [
      [":status", "200"],
      ["content-type", "application/grpc"],
      ["grpc-accept-encoding", "identity"],
    ];
    const trailers = statusFields(status);
    if (message === undefined) {
      done();
      this.#answer([...head, ...trailers], undefined, []);
    } else {
      this.#done = done;
      this.#answer(head, writeMessage(message), trailers);
    }
    this.#host.ended(this.#fields.get(":method") ?? "-", this.#path, status);
  }

  #answer(head: readonly RawField[], body: Buffer | undefined, trailers: readonly RawField[]): void {
    this.#answered = true;
    const { remoteEnded } = this.#stream;
    if (body === undefined) this.#stream.headers(head, true);
    else {
      this.#stream.headers(head, false);
      this.#stream.write(body);
      this.#stream.end(trailers);
    }
    // RFC 9113 section 8.1: an answer before the request's end, and the rest of it is not wanted.
    if (!remoteEnded && body === undefined) this.#stream.reset(ErrorCode.noError);
    this.#host.flush();
  }
}
