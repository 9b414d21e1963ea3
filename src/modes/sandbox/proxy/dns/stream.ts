import { MAX_QUERY_BYTES } from "./message.ts";
import type { Responder } from "./responder.ts";

/** What a resolver over TCP needs of an accepted socket. */
export interface StreamSocket {
  write(bytes: Uint8Array): number;
  end(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
}

/** A client that asks nothing for so long is closed; resolvers open a connection for one question. */
const IDLE_MS = 10_000;
/** How long a client waits that has asked too much. */
const REST_MS = 20;
/** At once; more are reset. */
export const MAX_STREAMS = 64;
const NOTHING = Buffer.alloc(0);

/** Resolvers over TCP (RFC 7766): messages with their length before them, any number on one connection, answered in order. */
export class StreamResponder implements Disposable {
  readonly #responder: Responder;
  readonly #open = new Set<DnsStream>();

  constructor(responder: Responder) {
    this.#responder = responder;
  }

  /** Takes an accepted connection; undefined: there are too many, and it has been reset. */
  accept(socket: StreamSocket): DnsStream | undefined {
    if (this.#open.size >= MAX_STREAMS) {
      socket.terminate();
      return undefined;
    }
    const stream = new DnsStream(socket, this.#responder, () => this.#open.delete(stream));
    this.#open.add(stream);
    return stream;
  }

  [Symbol.dispose](): void {
    for (const stream of [...this.#open]) stream.abort();
  }
}

/** One connection; its events come in by the same names as those of the proxy's own. */
export class DnsStream {
  readonly #socket: StreamSocket;
  readonly #responder: Responder;
  readonly #onEnd: () => void;
  #unread: Buffer = NOTHING;
  #unwritten: Buffer = NOTHING;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #finished = false;
  #resting = false;

  constructor(socket: StreamSocket, responder: Responder, onEnd: () => void) {
    this.#socket = socket;
    this.#responder = responder;
    this.#onEnd = onEnd;
    this.#expectMore();
  }

  clientData(bytes: Buffer): void {
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#work();
  }

  clientDrained(): void {
    const rest = this.#unwritten;
    this.#unwritten = NOTHING;
    this.#write(rest);
    if (this.#unwritten.length === 0) this.#work();
  }

  clientEnded(): void {
    this.#finished = true;
    this.#work();
  }

  clientClosed(): void {
    clearTimeout(this.#timer);
    this.#finished = true;
    this.#unread = NOTHING;
    this.#onEnd();
  }

  abort(): void {
    this.#socket.terminate();
    this.clientClosed();
  }

  /** Answers what is complete, as long as answers are taken. */
  #work(): void {
    while (this.#unwritten.length === 0 && !this.#resting) {
      if (this.#unread.length < 2) break;
      const size = this.#unread.readUInt16BE(0);
      if (size > MAX_QUERY_BYTES) {
        this.abort();
        return;
      }
      if (this.#unread.length < 2 + size) break;
      if (!this.#responder.admits()) {
        this.#rest();
        return;
      }
      const message = this.#unread.subarray(2, 2 + size);
      this.#unread = this.#unread.subarray(2 + size);
      this.#answer(message);
      this.#expectMore();
    }
    if (this.#unwritten.length > 0) this.#socket.pause();
    else if (this.#finished) this.#socket.end();
    else this.#socket.resume();
  }

  #answer(message: Buffer): void {
    const reply = this.#responder.reply(message);
    if (reply === undefined) return;
    const size = Buffer.alloc(2);
    size.writeUInt16BE(reply.length, 0);
    this.#write(Buffer.concat([size, reply]));
  }

  #write(bytes: Buffer): void {
    const written = Math.max(0, this.#socket.write(bytes));
    this.#unwritten = written < bytes.length ? bytes.subarray(written) : NOTHING;
  }

  #rest(): void {
    this.#resting = true;
    this.#socket.pause();
    this.#after(REST_MS, () => {
      this.#resting = false;
      this.#expectMore();
      this.#work();
    });
  }

  #expectMore(): void {
    if (!this.#resting) this.#after(IDLE_MS, () => this.abort());
  }

  #after(milliseconds: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, milliseconds);
    this.#timer.unref();
  }
}
