import { ByteQueue } from "./byte-queue.ts";
import type { DecodedBlock, RawField } from "./hpack-decoder.ts";
import type { ReceiveWindow } from "./receive-window.ts";

/** What happens on one stream. */
export interface StreamEvents {
  /** A header block: a head, an interim one, or trailers; `last`: nothing follows. */
  block(block: DecodedBlock, last: boolean): void;
  /** `last` may come with no bytes. They count against the window until `consume`. */
  data(bytes: Buffer, last: boolean): void;
  /** The stream is gone: reset by the peer or by us, or its connection ended. What waited to be sent is dropped. */
  closed(code: number): void;
  /** Some of what waited has been sent, or our end of the stream. */
  progress(): void;
  /** Both sides have said everything. */
  finished(): void;
}

/** What a stream asks of its session. */
export interface StreamSession {
  sendBlock(stream: Http2Stream, fields: readonly RawField[], last: boolean): void;
  schedule(stream: Http2Stream): void;
  resetStream(stream: Http2Stream, code: number): void;
  consumed(stream: Http2Stream, size: number): void;
}

/** One request and its answer on a connection. What is sent is queued here; the session sends it as windows and socket allow. */
export class Http2Stream {
  readonly id: number;
  readonly window: ReceiveWindow;
  readonly queue: ByteQueue = new ByteQueue();
  events: StreamEvents = NOBODY;
  /** What the peer takes. */
  sendWindow: number;
  /** Received and not passed on. */
  held = 0;
  /** The first header block of the peer has been seen. */
  headSeen = false;
  remoteEnded = false;
  /** Our last frame has been sent. */
  localEnded = false;
  /** What follows the queue: nothing yet, the end, or trailers. */
  ending: readonly RawField[] | undefined;
  gone = false;
  readonly #session: StreamSession;

  constructor(id: number, session: StreamSession, window: ReceiveWindow, sendWindow: number) {
    this.id = id;
    this.#session = session;
    this.window = window;
    this.sendWindow = sendWindow;
  }

  /** Bytes that wait to be sent. */
  get queued(): number {
    return this.queue.length;
  }

  headers(fields: readonly RawField[], last: boolean): void {
    if (!this.gone && !this.localEnded) this.#session.sendBlock(this, fields, last);
  }

  write(bytes: Buffer): void {
    if (this.gone || this.localEnded || this.ending !== undefined) return;
    this.queue.push(bytes);
    this.#session.schedule(this);
  }

  /** The end behind what was written. */
  end(trailers: readonly RawField[] = []): void {
    if (this.gone || this.localEnded || this.ending !== undefined) return;
    this.ending = trailers;
    this.#session.schedule(this);
  }

  /** Nothing more is wanted of it, also when only what it holds is left. */
  reset(code: number): void {
    if (this.gone) this.consume(this.held);
    else this.#session.resetStream(this, code);
  }

  /** Bytes of `data` have been passed on. */
  consume(size: number): void {
    this.#session.consumed(this, size);
  }
}

const NOBODY: StreamEvents = { block() {}, data() {}, closed() {}, progress() {}, finished() {} };
