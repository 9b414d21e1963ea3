import { DataSender, type DataSenderHost } from "./data-sender.ts";
import { ConnectionError, ErrorCode, StreamError } from "./errors.ts";
import { FloodGuard } from "./flood-guard.ts";
import {
  DEFAULT_WINDOW,
  Flag,
  type Frame,
  FrameReader,
  FrameType,
  frame,
  goawayFrame,
  headerFrames,
  MAX_WINDOW,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
} from "./frames.ts";
import { HeaderBlock } from "./header-block.ts";
import { type DecodedBlock, HpackDecoder, type ListLimits, type RawField } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { PeerSettings } from "./peer-settings.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { Http2Stream, type StreamEvents, type StreamSession } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

/** What a session needs of its socket and of whoever answers requests. */
export interface SessionHost {
  send(bytes: Buffer): void;
  /** Whether more can be sent without waiting; DATA is held back while not. */
  readonly writable: boolean;
  /** The peer begins a request; only asked of a session that serves. */
  opened(stream: Http2Stream, block: DecodedBlock, last: boolean): void;
  /** There may be room for another stream, or, after GOAWAY, there never will be. */
  capacity(): void;
  /** The connection is broken; GOAWAY is the last thing to send. */
  failed(code: number, reason: string): void;
}

/** Streams that a client may have open at once; also what Node, nginx and Go accept. */
export const MAX_STREAMS = 100;
/** Lists of fields: requests as an HTTP/1 head, answers as one of a server. */
const LISTS: Readonly<Record<"server" | "client", ListLimits>> = {
  server: { soft: 16_384, hard: 65_536 },
  client: { soft: 65_536, hard: 262_144 },
};
/** What one stream, and all of a connection, may hold at first and at most; a stalled stream must not stop the others. */
const STREAM_WINDOW = DEFAULT_WINDOW;
const MAX_STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 262_144;
const MAX_CONNECTION_WINDOW = 4 * 1024 * 1024;
/** Requests that are looked at in one go; others of the process have their turn before the next. A decision takes up to 0.1 ms. */
const REQUESTS_AT_ONCE = 16;
/** The same for frames of any kind: one takes up to 4 µs, and half a megabyte of DATA with one byte each has 50,000 of them. */
const FRAMES_AT_ONCE = 512;

/**
 * One HTTP/2 connection (RFC 9113), either end of it. Owns no socket and no clock: bytes come in by `receive`, go out by `host.send` when
 * `flush` is called. Push, priorities and extended CONNECT are not offered.
 */
export class Http2Session implements StreamSession, DataSenderHost {
  readonly #role: "server" | "client";
  readonly #host: SessionHost;
  readonly #guard: FloodGuard;
  readonly #reader = new FrameReader();
  readonly #decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder();
  readonly #peer = new PeerSettings();
  readonly #window = new ReceiveWindow(CONNECTION_WINDOW, MAX_CONNECTION_WINDOW, DEFAULT_WINDOW);
  readonly #streams = new StreamTable();
  readonly #sender: DataSender;
  /** By frame type. */
  readonly #readers: readonly ((received: Frame) => void)[] = [
    (received) => this.#data(received),
    (received) => this.#headers(received),
    (received) => this.#priority(received),
    (received) => this.#reset(received),
    (received) => this.#settings(received),
    () => {
      throw protocolError("PUSH_PROMISE where push is not enabled");
    },
    (received) => this.#ping(received),
    (received) => this.#goawayReceived(received),
    (received) => this.#windowUpdate(received),
    (received) => this.#continuation(received),
  ];
  #out: Buffer[] = [];
  #preface: Buffer | undefined;
  #settingsSeen = false;
  #block: HeaderBlock | undefined;
  /** Frames that were complete by themselves, and header blocks. */
  #completed = 0;
  /** Streams above `last` are not taken by who said GOAWAY. */
  #goaway: { readonly last: number; readonly ours: boolean } | undefined;
  #over = false;
  /** Streams that the bytes at hand have opened. */
  #opened = 0;
  /** Frames that they have had. */
  #read = 0;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(role: "server" | "client", host: SessionHost, now: () => number) {
    this.#role = role;
    this.#host = host;
    this.#guard = new FloodGuard(now);
    this.#sender = new DataSender(this);
    this.#decoder = new HpackDecoder(LISTS[role]);
    this.#preface = role === "server" ? Buffer.alloc(0) : undefined;
    const settings: [number, number][] = role === "server" ? [[Setting.maxConcurrentStreams, MAX_STREAMS]] : [[Setting.enablePush, 0]];
    settings.push([Setting.maxHeaderListSize, LISTS[role].soft]);
    if (role === "client") this.#out.push(PREFACE);
    this.#out.push(settingsFrame(settings), numberFrame(FrameType.windowUpdate, 0, this.#window.start()));
  }

  /** Streams that are open. */
  get active(): number {
    return this.#streams.size;
  }

  /**
   * The peer has begun something that it must complete soon: preface, SETTINGS, a frame that is not DATA, a header block. The number is
   * another one for each such thing.
   */
  get unfinished(): number | undefined {
    const begun = !this.#settingsSeen || this.#block !== undefined || this.#reader.unfinished;
    return begun ? this.#completed : undefined;
  }

  /** Whether `request` would open a stream. */
  get hasRoom(): boolean {
    return (
      this.#goaway === undefined &&
      !this.#over &&
      this.#streams.size < this.#peer.maxConcurrentStreams &&
      this.#streams.last < MAX_WINDOW - 2
    );
  }

  /** No stream will ever be opened again. */
  get closing(): boolean {
    return this.#goaway !== undefined || this.#over;
  }

  /** There is more to read than was read: call `receive` again, with nothing, when others have had their turn. */
  get interrupted(): boolean {
    return this.#reader.held && !this.#over;
  }

  receive(bytes: Buffer): void {
    if (this.#over) return;
    this.#opened = 0;
    this.#read = 0;
    try {
      const rest = this.#preface === undefined ? bytes : this.#readPreface(bytes);
      if (rest !== undefined) this.#reader.push(rest, (received) => this.#frame(received));
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.fail(error.code, error.message);
    }
  }

  /** Sends what waits, as far as windows and socket allow. True when something was sent. */
  flush(): boolean {
    let sent = false;
    for (;;) {
      const data = this.#over || !this.#host.writable ? 0 : this.#sender.collect();
      if (this.#out.length === 0) return sent;
      const out = this.#out;
      this.#out = [];
      sent = true;
      this.#host.send(out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out));
      if (data === 0) return sent;
    }
  }

  /** Opens a stream to a server. Undefined: there is no room now. */
  request(fields: readonly RawField[], last: boolean, events: StreamEvents): Http2Stream | undefined {
    if (!this.hasRoom) return undefined;
    this.#streams.last = this.#streams.last === 0 ? 1 : this.#streams.last + 2;
    const stream = this.#addStream(this.#streams.last);
    stream.events = events;
    this.sendBlock(stream, fields, last);
    return stream;
  }

  /** Says that no further stream is taken; those that are open go on. */
  goAway(code: number): void {
    if (this.#over || this.#goaway?.ours === true) return;
    this.#goaway = { last: this.#streams.last, ours: true };
    this.#out.push(goawayFrame(this.#role === "server" ? this.#streams.last : 0, code));
  }

  /** The socket is gone, or is given up: every stream ends. */
  close(code: number = ErrorCode.cancel): void {
    if (this.#over) return;
    this.#over = true;
    this.#sender.clear();
    for (const stream of this.#streams.all()) this.#drop(stream, code);
    this.#window.release();
  }

  // What streams ask for.

  sendBlock(stream: Http2Stream, fields: readonly RawField[], last: boolean): void {
    if (this.#over) return;
    this.#out.push(headerFrames(stream.id, this.#encoder.encode(fields), last));
    if (last) this.localEnd(stream);
  }

  schedule(stream: Http2Stream): void {
    this.#sender.schedule(stream);
  }

  resetStream(stream: Http2Stream, code: number): void {
    if (this.#over) return;
    this.#out.push(numberFrame(FrameType.resetStream, stream.id, code));
    this.#streams.remember(stream.id, "us");
    this.#drop(stream, code);
  }

  consumed(stream: Http2Stream, size: number): void {
    const passed = Math.min(size, stream.held);
    if (passed === 0 || this.#over) return;
    stream.held -= passed;
    if (!stream.gone && !stream.remoteEnded) this.#announce(stream.id, stream.window.passed(passed));
    this.#announce(0, this.#window.passed(passed));
  }

  #announce(stream: number, increment: number): void {
    if (increment > 0) this.#out.push(numberFrame(FrameType.windowUpdate, stream, increment));
  }

  // What the peer sends.

  #readPreface(bytes: Buffer): Buffer | undefined {
    const all = Buffer.concat([this.#preface ?? bytes, bytes]);
    const size = Math.min(all.length, PREFACE.length);
    if (all.compare(PREFACE, 0, size, 0, size) !== 0) throw protocolError("the preface is not that of HTTP/2");
    this.#preface = all.length < PREFACE.length ? all : undefined;
    return this.#preface === undefined ? all.subarray(PREFACE.length) : undefined;
  }

  #frame(received: Frame): void {
    if (this.#over) return;
    // A server has no reason to keep us from others.
    if (++this.#read >= FRAMES_AT_ONCE && this.#role === "server") this.#reader.held = true;
    const { type } = received;
    if (this.#block !== undefined && (type !== FrameType.continuation || received.stream !== this.#block.stream))
      throw protocolError("another frame inside a header block");
    if (!this.#settingsSeen && (type !== FrameType.settings || (received.flags & Flag.ack) !== 0))
      throw protocolError("the first frame is not SETTINGS");
    if (type !== FrameType.headers && type !== FrameType.continuation && this.#settingsSeen) this.#completed++;
    try {
      this.#dispatch(received);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#streamError(error);
    }
  }

  #dispatch(received: Frame): void {
    const read = this.#readers[received.type];
    // Unknown types are for extensions that we do not know (RFC 9113 section 5.5).
    if (read === undefined) this.#guard.charge("idle");
    else read(received);
  }

  #data(received: Frame): void {
    const { stream: id, flags, payload } = received;
    if (id === 0) throw protocolError("DATA on stream 0");
    const bytes = unpadded(received);
    if (!this.#window.received(payload.length))
      throw new ConnectionError(ErrorCode.flowControlError, "more DATA than the connection's window");
    const last = (flags & Flag.endStream) !== 0;
    if (bytes.length === 0 && !last) this.#guard.charge("emptyData");
    const stream = this.#streams.get(id);
    // What nobody keeps does not count.
    this.#announce(0, this.#window.passed(stream === undefined ? payload.length : payload.length - bytes.length));
    if (stream === undefined) {
      this.#late(id, "DATA");
      return;
    }
    if (stream.remoteEnded) {
      this.#announce(0, this.#window.passed(bytes.length));
      throw new StreamError(id, ErrorCode.streamClosed, "DATA behind the end of a stream");
    }
    stream.held += bytes.length;
    if (!stream.headSeen) throw new StreamError(id, ErrorCode.protocolError, "DATA before a head");
    if (!stream.window.received(payload.length))
      throw new StreamError(id, ErrorCode.flowControlError, "more DATA than the stream's window");
    if (payload.length > bytes.length && !last) this.#announce(id, stream.window.passed(payload.length - bytes.length));
    if (last) stream.remoteEnded = true;
    stream.events.data(bytes, last);
    this.#settle(stream);
  }

  #headers({ stream: id, flags, payload }: Frame): void {
    if (id === 0) throw protocolError("HEADERS on stream 0");
    let at = 0;
    let end = payload.length;
    if ((flags & Flag.padded) !== 0) {
      end -= payload[at] ?? 0;
      at += 1;
    }
    const dependency = (flags & Flag.priority) !== 0;
    if (dependency) at += 5;
    if (at > end) throw protocolError("HEADERS with more padding than bytes");
    this.#checkStreamId(id);
    // The block has to be read in any case, since it changes how the next one is read.
    this.#block = new HeaderBlock(id, (flags & Flag.endStream) !== 0);
    this.#block.add(payload.subarray(at, end));
    if (dependency && (payload.readUInt32BE(at - 5) & MAX_WINDOW) === id) throw protocolError("a stream that depends on itself");
    if ((flags & Flag.endHeaders) !== 0) this.#blockComplete(this.#block);
  }

  #checkStreamId(id: number): void {
    if (this.#streams.get(id) !== undefined) return;
    if (this.#role === "client" || id % 2 === 0) {
      if (this.#streams.isIdle(id)) throw protocolError(`HEADERS on stream ${id}, which nobody has opened`);
      return;
    }
    if (id > this.#streams.last) return;
    const ended = this.#streams.howEnded(id);
    if (ended !== "us") throw new ConnectionError(ErrorCode.streamClosed, `HEADERS on stream ${id}, which is closed`);
  }

  #continuation({ flags, payload }: Frame): void {
    if (this.#block === undefined) throw protocolError("CONTINUATION without HEADERS");
    this.#block.add(payload);
    if ((flags & Flag.endHeaders) !== 0) this.#blockComplete(this.#block);
  }

  #blockComplete(block: HeaderBlock): void {
    const { stream: id, endStream } = block;
    this.#block = undefined;
    this.#completed++;
    const decoded = this.#decoder.decode(block.whole());
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.#furtherBlock(stream, decoded, endStream);
    else if (this.#role === "server" && id > this.#streams.last) this.#newStream(id, decoded, endStream);
    else this.#guard.charge("idle");
  }

  #furtherBlock(stream: Http2Stream, decoded: DecodedBlock, last: boolean): void {
    if (stream.remoteEnded) throw new StreamError(stream.id, ErrorCode.streamClosed, "HEADERS behind the end of a stream");
    if (this.#role === "server" && !last) throw new StreamError(stream.id, ErrorCode.protocolError, "trailers that do not end the stream");
    stream.headSeen = true;
    if (last) stream.remoteEnded = true;
    stream.events.block(decoded, last);
    this.#settle(stream);
  }

  #newStream(id: number, decoded: DecodedBlock, last: boolean): void {
    this.#streams.last = id;
    if (this.#goaway !== undefined) {
      this.#guard.charge("idle");
      return;
    }
    if (this.#streams.size >= MAX_STREAMS) throw new StreamError(id, ErrorCode.refusedStream, `more than ${MAX_STREAMS} streams`);
    const stream = this.#addStream(id);
    stream.headSeen = true;
    stream.remoteEnded = last;
    if (++this.#opened >= REQUESTS_AT_ONCE) this.#reader.held = true;
    this.#host.opened(stream, decoded, last);
    this.#settle(stream);
  }

  /** RFC 9113 section 5.3: read, and without effect. */
  #priority({ stream: id, payload }: Frame): void {
    if (id === 0) throw protocolError("PRIORITY on stream 0");
    this.#guard.charge("idle");
    if (payload.length !== 5) throw new StreamError(id, ErrorCode.frameSizeError, "PRIORITY of an impossible length");
    if ((payload.readUInt32BE(0) & MAX_WINDOW) === id)
      throw new StreamError(id, ErrorCode.protocolError, "a stream that depends on itself");
  }

  #reset({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw frameSizeError("RST_STREAM");
    if (id === 0 || this.#streams.isIdle(id)) throw protocolError("RST_STREAM on a stream that nobody has opened");
    const stream = this.#streams.get(id);
    // One that has its whole answer costs nothing more.
    this.#guard.charge(stream === undefined || stream.localEnded ? "idle" : "reset");
    if (stream === undefined) return;
    this.#streams.remember(id, "peer");
    this.#drop(stream, payload.readUInt32BE(0));
  }

  #settings({ stream: id, flags, payload }: Frame): void {
    if (id !== 0) throw protocolError("SETTINGS on a stream");
    this.#guard.charge("settings");
    if ((flags & Flag.ack) !== 0) {
      if (payload.length !== 0) throw frameSizeError("acknowledgement of SETTINGS");
      return;
    }
    const change = this.#peer.apply(payload, this.#role === "server" ? "client" : "server");
    this.#settingsSeen = true;
    for (const stream of this.#streams.all()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, "SETTINGS make a window too large");
      if (change > 0) this.#sender.schedule(stream);
    }
    this.#out.push(frame(FrameType.settings, Flag.ack, 0));
    this.#host.capacity();
  }

  #ping({ stream: id, flags, payload }: Frame): void {
    if (id !== 0) throw protocolError("PING on a stream");
    if (payload.length !== 8) throw frameSizeError("PING");
    this.#guard.charge("ping");
    if ((flags & Flag.ack) === 0) this.#out.push(frame(FrameType.ping, Flag.ack, 0, payload));
  }

  #goawayReceived({ stream: id, payload }: Frame): void {
    if (id !== 0) throw protocolError("GOAWAY on a stream");
    if (payload.length < 8) throw frameSizeError("GOAWAY");
    this.#guard.charge("settings");
    const last = payload.readUInt32BE(0) & MAX_WINDOW;
    this.#goaway = { last, ours: this.#goaway?.ours ?? false };
    if (this.#role === "client")
      for (const stream of this.#streams.all()) if (stream.id > last) this.#drop(stream, ErrorCode.refusedStream);
    this.#host.capacity();
  }

  #windowUpdate({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw frameSizeError("WINDOW_UPDATE");
    const increment = payload.readUInt32BE(0) & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE of 0");
      this.#sender.window += increment;
      if (this.#sender.window > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, "WINDOW_UPDATE beyond 2^31 - 1");
      return;
    }
    if (this.#streams.isIdle(id)) throw protocolError("WINDOW_UPDATE on a stream that nobody has opened");
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      this.#guard.charge("idle");
      return;
    }
    if (increment === 0) throw new StreamError(id, ErrorCode.protocolError, "WINDOW_UPDATE of 0");
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) throw new StreamError(id, ErrorCode.flowControlError, "WINDOW_UPDATE beyond 2^31 - 1");
    if (stream.queue.length > 0 || stream.ending !== undefined) this.#sender.schedule(stream);
  }

  // What DATA is sent by.

  get over(): boolean {
    return this.#over;
  }

  write(...frames: Buffer[]): void {
    this.#out.push(...frames);
  }

  trailers(stream: Http2Stream, fields: readonly RawField[]): void {
    this.sendBlock(stream, fields, true);
  }

  localEnd(stream: Http2Stream): void {
    stream.localEnded = true;
    this.#settle(stream);
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

  #addStream(id: number): Http2Stream {
    const stream = new Http2Stream(id, this, new ReceiveWindow(STREAM_WINDOW, MAX_STREAM_WINDOW), this.#peer.initialWindow);
    this.#streams.add(stream);
    return stream;
  }

  /** Both sides have said everything. What it holds still counts until it is consumed. */
  #settle(stream: Http2Stream): void {
    if (!stream.remoteEnded || !stream.localEnded || stream.gone) return;
    this.#forget(stream);
    this.#streams.remember(stream.id, "ended");
    stream.events.finished();
    this.#host.capacity();
  }

  /** Reset, or without a connection: nothing that waits is of use to anybody. */
  #drop(stream: Http2Stream, code: number): void {
    this.#forget(stream);
    stream.queue.clear();
    const { held } = stream;
    stream.held = 0;
    if (!this.#over) this.#announce(0, this.#window.passed(held));
    stream.events.closed(code);
    this.#host.capacity();
  }

  #forget(stream: Http2Stream): void {
    stream.gone = true;
    stream.window.release();
    this.#streams.delete(stream);
    this.#sender.forget(stream);
  }

  /** A frame for a stream that is no more: wrong, unless it crossed our reset. */
  #late(id: number, what: string): void {
    if (this.#streams.isIdle(id)) throw protocolError(`${what} on stream ${id}, which nobody has opened`);
    this.#guard.charge("idle");
    const ended = this.#streams.howEnded(id);
    if (ended === "ended") throw new ConnectionError(ErrorCode.streamClosed, `${what} on stream ${id}, which is closed`);
    if (ended === "peer") throw new StreamError(id, ErrorCode.streamClosed, `${what} on a stream that was reset`);
  }

  #streamError({ stream: id, code }: StreamError): void {
    // A peer that makes us reset streams is one that resets them.
    this.#guard.charge("reset");
    const stream = this.#streams.get(id);
    if (stream !== undefined) {
      stream.reset(code);
      return;
    }
    if (this.#streams.isIdle(id)) throw new ConnectionError(code, "a wrong frame on a stream that nobody has opened");
    this.#out.push(numberFrame(FrameType.resetStream, id, code));
    this.#streams.remember(id, "us");
  }

  /** Ends the connection for a reason that the peer learns. */
  fail(code: number, reason: string): void {
    if (this.#over) return;
    this.#out.push(goawayFrame(this.#role === "server" ? this.#streams.last : 0, code));
    this.close(code);
    this.#host.failed(code, reason);
  }
}

function unpadded({ flags, payload }: Frame): Buffer {
  if ((flags & Flag.padded) === 0) return payload;
  const padding = payload[0];
  if (padding === undefined || padding >= payload.length) throw protocolError("DATA with more padding than bytes");
  return payload.subarray(1, payload.length - padding);
}

function protocolError(reason: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, reason);
}

function frameSizeError(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.frameSizeError, `${what} of an impossible length`);
}
