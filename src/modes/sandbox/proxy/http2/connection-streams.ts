import { DataSender, type DataSenderHost } from "./data-sender.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { DEFAULT_WINDOW, FrameType, goawayFrame, headerFrames, numberFrame } from "./frames.ts";
import type { RawField } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { PeerSettings } from "./peer-settings.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { Http2Stream, type StreamSession } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

/** Who is told of a connection's streams as a whole. */
export interface ConnectionOwner {
  /** There may be room for another stream, or, after GOAWAY, there never will be. */
  capacity(): void;
  /** The connection is broken; GOAWAY is the last thing to send. */
  failed(code: number, reason: string): void;
}

/** What one stream, and all of a connection, may hold at first and at most; a stalled stream must not stop the others. */
const STREAM_WINDOW = DEFAULT_WINDOW;
const MAX_STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 262_144;
const MAX_CONNECTION_WINDOW = 4 * 1024 * 1024;

/** The streams of one connection: their life, their windows, and the frames that wait to be sent for them. */
export class ConnectionStreams implements StreamSession, DataSenderHost {
  readonly role: "server" | "client";
  readonly table: StreamTable = new StreamTable();
  /** What may be received on the connection as a whole. */
  readonly window: ReceiveWindow = new ReceiveWindow(CONNECTION_WINDOW, MAX_CONNECTION_WINDOW, DEFAULT_WINDOW);
  readonly peer: PeerSettings = new PeerSettings();
  readonly sender: DataSender;
  /** Streams above `last` are not taken by who said GOAWAY. */
  goaway: { readonly last: number; readonly ours: boolean } | undefined;
  /** The connection is closed. */
  over = false;
  readonly #owner: ConnectionOwner;
  readonly #guard: FloodGuard;
  readonly #encoder = new HpackEncoder();
  #out: Buffer[] = [];

  constructor(role: "server" | "client", owner: ConnectionOwner, guard: FloodGuard) {
    this.role = role;
    this.#owner = owner;
    this.#guard = guard;
    this.sender = new DataSender(this);
  }

  /** The frames that wait to be sent, once. */
  take(): Buffer[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  // What streams ask for.

  sendBlock(stream: Http2Stream, fields: readonly RawField[], last: boolean): void {
    if (this.over) return;
    this.#out.push(headerFrames(stream.id, this.#encoder.encode(fields), last));
    if (last) this.localEnd(stream);
  }

  schedule(stream: Http2Stream): void {
    this.sender.schedule(stream);
  }

  resetStream(stream: Http2Stream, code: number): void {
    if (this.over) return;
    this.#out.push(numberFrame(FrameType.resetStream, stream.id, code));
    this.table.remember(stream.id, "us");
    this.drop(stream, code);
  }

  consumed(stream: Http2Stream, size: number): void {
    const passed = Math.min(size, stream.held);
    if (passed === 0 || this.over) return;
    stream.held -= passed;
    if (!stream.gone && !stream.remoteEnded) this.announce(stream.id, stream.window.passed(passed));
    this.announce(0, this.window.passed(passed));
  }

  /** WINDOW_UPDATE; of the connection where `stream` is 0. */
  announce(stream: number, increment: number): void {
    if (increment > 0) this.#out.push(numberFrame(FrameType.windowUpdate, stream, increment));
  }

  /** The socket is gone, or is given up: every stream ends. */
  close(code: number = ErrorCode.cancel): void {
    if (this.over) return;
    this.over = true;
    this.sender.clear();
    for (const stream of this.table.all()) this.drop(stream, code);
    this.window.release();
  }

  /** Ends the connection for a reason that the peer learns. */
  fail(code: number, reason: string): void {
    if (this.over) return;
    this.#out.push(goawayFrame(this.role === "server" ? this.table.last : 0, code));
    this.close(code);
    this.#owner.failed(code, reason);
  }

  // What DATA is sent by.

  write(...frames: Buffer[]): void {
    this.#out.push(...frames);
  }

  trailers(stream: Http2Stream, fields: readonly RawField[]): void {
    this.sendBlock(stream, fields, true);
  }

  localEnd(stream: Http2Stream): void {
    stream.localEnded = true;
    this.settle(stream);
  }

  crumb(): void {
    try {
      this.#guard.charge("crumbs");
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.fail(error.code, error.message);
    }
  }

  // The life of streams.

  /** A new stream, by either side. */
  open(id: number): Http2Stream {
    const stream = new Http2Stream(id, this, new ReceiveWindow(STREAM_WINDOW, MAX_STREAM_WINDOW), this.peer.initialWindow);
    this.table.add(stream);
    return stream;
  }

  /** Both sides have said everything. What it holds still counts until it is consumed. */
  settle(stream: Http2Stream): void {
    if (!stream.remoteEnded || !stream.localEnded || stream.gone) return;
    this.#forget(stream);
    this.table.remember(stream.id, "ended");
    stream.events.finished();
    this.#owner.capacity();
  }

  /** Reset, or without a connection: nothing that waits is of use to anybody. */
  drop(stream: Http2Stream, code: number): void {
    this.#forget(stream);
    stream.queue.clear();
    const { held } = stream;
    stream.held = 0;
    if (!this.over) this.announce(0, this.window.passed(held));
    stream.events.closed(code);
    this.#owner.capacity();
  }

  #forget(stream: Http2Stream): void {
    stream.gone = true;
    stream.window.release();
    this.table.delete(stream);
    this.sender.forget(stream);
  }
}
