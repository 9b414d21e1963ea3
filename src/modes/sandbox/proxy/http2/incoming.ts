import type { ConnectionStreams } from "./connection-streams.ts";
import { ConnectionError, ErrorCode, StreamError } from "./errors.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { Flag, type Frame, FrameReader, FrameType, frame, MAX_WINDOW, numberFrame, PREFACE } from "./frames.ts";
import { HeaderBlock } from "./header-block.ts";
import { type DecodedBlock, HpackDecoder, type ListLimits } from "./hpack-decoder.ts";
import type { Http2Stream } from "./stream.ts";

/** Who is told of what the peer sends, beside its streams. */
export interface IncomingHost {
  /** The peer begins a request; only asked of a session that serves. */
  opened(stream: Http2Stream, block: DecodedBlock, last: boolean): void;
  /** Others wait for this one to read no more now. */
  readonly turnIsOver?: boolean;
  /** There may be room for another stream, or, after GOAWAY, there never will be. */
  capacity(): void;
}

/** Streams that a client may have open at once; also what Node, nginx and Go accept. */
export const MAX_STREAMS = 100;
/** Requests that are looked at in one go; others of the process have their turn before the next. A decision takes up to 0.1 ms. */
const REQUESTS_AT_ONCE = 16;
/** The same for frames of any kind: one takes up to 4 µs, and half a megabyte of DATA with one byte each has 50,000 of them. */
const FRAMES_AT_ONCE = 512;
/** After so many it is asked whether others wait. */
const FRAMES_BETWEEN = 32;

/** Reads what the peer of one connection sends, frame by frame, and does what each asks for. */
export class Incoming {
  readonly #streams: ConnectionStreams;
  readonly #host: IncomingHost;
  readonly #guard: FloodGuard;
  readonly #reader = new FrameReader();
  readonly #decoder: HpackDecoder;
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
  #preface: Buffer | undefined;
  #settingsSeen = false;
  #block: HeaderBlock | undefined;
  /** Frames that were complete by themselves, and header blocks. */
  #completed = 0;
  /** Streams that the bytes at hand have opened. */
  #opened = 0;
  /** Frames of the bytes at hand that have been read. */
  #read = 0;

  constructor(streams: ConnectionStreams, host: IncomingHost, guard: FloodGuard, lists: ListLimits) {
    this.#streams = streams;
    this.#host = host;
    this.#guard = guard;
    this.#decoder = new HpackDecoder(lists);
    this.#preface = streams.role === "server" ? Buffer.alloc(0) : undefined;
  }

  /** Something has begun and is not complete; another number for each such thing. */
  get unfinished(): number | undefined {
    const begun = !this.#settingsSeen || this.#block !== undefined || this.#reader.unfinished;
    return begun ? this.#completed : undefined;
  }

  /** There is more to read than was read. */
  get interrupted(): boolean {
    return this.#reader.held;
  }

  /** Throws a `ConnectionError` for what the connection must not outlive. */
  receive(bytes: Buffer): void {
    this.#opened = 0;
    this.#read = 0;
    const rest = this.#preface === undefined ? bytes : this.#readPreface(bytes);
    if (rest !== undefined) this.#reader.push(rest, (received) => this.#frame(received));
  }

  #readPreface(bytes: Buffer): Buffer | undefined {
    const all = Buffer.concat([this.#preface ?? bytes, bytes]);
    const size = Math.min(all.length, PREFACE.length);
    if (all.compare(PREFACE, 0, size, 0, size) !== 0) throw protocolError("the preface is not that of HTTP/2");
    this.#preface = all.length < PREFACE.length ? all : undefined;
    return this.#preface === undefined ? all.subarray(PREFACE.length) : undefined;
  }

  #frame(received: Frame): void {
    if (this.#streams.over) return;
    // A server has no reason to keep us from others.
    if (this.#streams.role === "server" && this.#isEnough(++this.#read)) this.#reader.held = true;
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

  #isEnough(read: number): boolean {
    return read >= FRAMES_AT_ONCE || (read % FRAMES_BETWEEN === 0 && this.#host.turnIsOver === true);
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
    if (!this.#streams.window.received(payload.length))
      throw new ConnectionError(ErrorCode.flowControlError, "more DATA than the connection's window");
    const last = (flags & Flag.endStream) !== 0;
    if (bytes.length === 0 && !last) this.#guard.charge("emptyData");
    const stream = this.#streams.table.get(id);
    // What nobody keeps does not count.
    this.#streams.announce(0, this.#streams.window.passed(stream === undefined ? payload.length : payload.length - bytes.length));
    if (stream === undefined) {
      this.#late(id, "DATA");
      return;
    }
    if (stream.remoteEnded) {
      this.#streams.announce(0, this.#streams.window.passed(bytes.length));
      throw new StreamError(id, ErrorCode.streamClosed, "DATA behind the end of a stream");
    }
    stream.held += bytes.length;
    if (!stream.headSeen) throw new StreamError(id, ErrorCode.protocolError, "DATA before a head");
    if (!stream.window.received(payload.length))
      throw new StreamError(id, ErrorCode.flowControlError, "more DATA than the stream's window");
    if (payload.length > bytes.length && !last) this.#streams.announce(id, stream.window.passed(payload.length - bytes.length));
    if (last) stream.remoteEnded = true;
    stream.events.data(bytes, last);
    this.#streams.settle(stream);
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
    if (this.#streams.table.get(id) !== undefined) return;
    if (this.#streams.role === "client" || id % 2 === 0) {
      if (this.#streams.table.isIdle(id)) throw protocolError(`HEADERS on stream ${id}, which nobody has opened`);
      return;
    }
    if (id > this.#streams.table.last) return;
    const ended = this.#streams.table.howEnded(id);
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
    const stream = this.#streams.table.get(id);
    if (stream !== undefined) this.#furtherBlock(stream, decoded, endStream);
    else if (this.#streams.role === "server" && id > this.#streams.table.last) this.#newStream(id, decoded, endStream);
    else this.#guard.charge("idle");
  }

  #furtherBlock(stream: Http2Stream, decoded: DecodedBlock, last: boolean): void {
    if (stream.remoteEnded) throw new StreamError(stream.id, ErrorCode.streamClosed, "HEADERS behind the end of a stream");
    if (this.#streams.role === "server" && !last)
      throw new StreamError(stream.id, ErrorCode.protocolError, "trailers that do not end the stream");
    stream.headSeen = true;
    if (last) stream.remoteEnded = true;
    stream.events.block(decoded, last);
    this.#streams.settle(stream);
  }

  #newStream(id: number, decoded: DecodedBlock, last: boolean): void {
    this.#streams.table.last = id;
    if (this.#streams.goaway !== undefined) {
      this.#guard.charge("idle");
      return;
    }
    if (this.#streams.table.size >= MAX_STREAMS) throw new StreamError(id, ErrorCode.refusedStream, `more than ${MAX_STREAMS} streams`);
    const stream = this.#streams.open(id);
    stream.headSeen = true;
    stream.remoteEnded = last;
    if (++this.#opened >= REQUESTS_AT_ONCE || this.#host.turnIsOver === true) this.#reader.held = true;
    this.#host.opened(stream, decoded, last);
    this.#streams.settle(stream);
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
    if (id === 0 || this.#streams.table.isIdle(id)) throw protocolError("RST_STREAM on a stream that nobody has opened");
    const stream = this.#streams.table.get(id);
    // One that has its whole answer costs nothing more.
    this.#guard.charge(stream === undefined || stream.localEnded ? "idle" : "reset");
    if (stream === undefined) return;
    this.#streams.table.remember(id, "peer");
    this.#streams.drop(stream, payload.readUInt32BE(0));
  }

  #settings({ stream: id, flags, payload }: Frame): void {
    if (id !== 0) throw protocolError("SETTINGS on a stream");
    this.#guard.charge("settings");
    if ((flags & Flag.ack) !== 0) {
      if (payload.length !== 0) throw frameSizeError("acknowledgement of SETTINGS");
      return;
    }
    const change = this.#streams.peer.apply(payload, this.#streams.role === "server" ? "client" : "server");
    this.#settingsSeen = true;
    for (const stream of this.#streams.table.all()) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, "SETTINGS make a window too large");
      if (change > 0) this.#streams.sender.schedule(stream);
    }
    this.#streams.write(frame(FrameType.settings, Flag.ack, 0));
    this.#host.capacity();
  }

  #ping({ stream: id, flags, payload }: Frame): void {
    if (id !== 0) throw protocolError("PING on a stream");
    if (payload.length !== 8) throw frameSizeError("PING");
    this.#guard.charge("ping");
    if ((flags & Flag.ack) === 0) this.#streams.write(frame(FrameType.ping, Flag.ack, 0, payload));
  }

  #goawayReceived({ stream: id, payload }: Frame): void {
    if (id !== 0) throw protocolError("GOAWAY on a stream");
    if (payload.length < 8) throw frameSizeError("GOAWAY");
    this.#guard.charge("settings");
    const last = payload.readUInt32BE(0) & MAX_WINDOW;
    this.#streams.goaway = { last, ours: this.#streams.goaway?.ours ?? false };
    if (this.#streams.role === "client")
      for (const stream of this.#streams.table.all()) if (stream.id > last) this.#streams.drop(stream, ErrorCode.refusedStream);
    this.#host.capacity();
  }

  #windowUpdate({ stream: id, payload }: Frame): void {
    if (payload.length !== 4) throw frameSizeError("WINDOW_UPDATE");
    const increment = payload.readUInt32BE(0) & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE of 0");
      this.#streams.sender.window += increment;
      if (this.#streams.sender.window > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, "WINDOW_UPDATE beyond 2^31 - 1");
      return;
    }
    if (this.#streams.table.isIdle(id)) throw protocolError("WINDOW_UPDATE on a stream that nobody has opened");
    const stream = this.#streams.table.get(id);
    if (stream === undefined) {
      this.#guard.charge("idle");
      return;
    }
    if (increment === 0) throw new StreamError(id, ErrorCode.protocolError, "WINDOW_UPDATE of 0");
    stream.sendWindow += increment;
    if (stream.sendWindow > MAX_WINDOW) throw new StreamError(id, ErrorCode.flowControlError, "WINDOW_UPDATE beyond 2^31 - 1");
    if (stream.queue.length > 0 || stream.ending !== undefined) this.#streams.sender.schedule(stream);
  }

  /** A frame for a stream that is no more: wrong, unless it crossed our reset. */
  #late(id: number, what: string): void {
    if (this.#streams.table.isIdle(id)) throw protocolError(`${what} on stream ${id}, which nobody has opened`);
    this.#guard.charge("idle");
    const ended = this.#streams.table.howEnded(id);
    if (ended === "ended") throw new ConnectionError(ErrorCode.streamClosed, `${what} on stream ${id}, which is closed`);
    if (ended === "peer") throw new StreamError(id, ErrorCode.streamClosed, `${what} on a stream that was reset`);
  }

  #streamError({ stream: id, code }: StreamError): void {
    // A peer that makes us reset streams is one that resets them.
    this.#guard.charge("reset");
    const stream = this.#streams.table.get(id);
    if (stream !== undefined) {
      stream.reset(code);
      return;
    }
    if (this.#streams.table.isIdle(id)) throw new ConnectionError(code, "a wrong frame on a stream that nobody has opened");
    this.#streams.write(numberFrame(FrameType.resetStream, id, code));
    this.#streams.table.remember(id, "us");
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
