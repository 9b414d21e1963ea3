import { ConnectionStreams } from "./connection-streams.ts";
import { ConnectionError, ErrorCode } from "./errors.ts";
import { FloodGuard } from "./flood-guard.ts";
import { goawayFrame, MAX_WINDOW, PREFACE, Setting, settingsFrame } from "./frames.ts";
import type { DecodedBlock, ListLimits, RawField } from "./hpack-decoder.ts";
import { Incoming, MAX_STREAMS } from "./incoming.ts";
import type { Http2Stream, StreamEvents } from "./stream.ts";

/** What a session needs of its socket and of whoever answers requests. */
export interface SessionHost {
  /** `owned`: nobody else has the memory of these bytes. */
  send(bytes: Buffer, owned: boolean): void;
  /** Whether more can be sent without waiting; DATA is held back while not. */
  readonly writable: boolean;
  /** The peer begins a request; only asked of a session that serves. */
  opened(stream: Http2Stream, block: DecodedBlock, last: boolean): void;
  /** Others wait for this one to read no more now. */
  readonly turnIsOver?: boolean;
  /** There may be room for another stream, or, after GOAWAY, there never will be. */
  capacity(): void;
  /** The connection is broken; GOAWAY is the last thing to send. */
  failed(code: number, reason: string): void;
}

/** Lists of fields: requests as an HTTP/1 head, answers as one of a server. */
const LISTS: Readonly<Record<"server" | "client", ListLimits>> = {
  server: { soft: 16_384, hard: 65_536 },
  client: { soft: 65_536, hard: 262_144 },
};

/**
 * One HTTP/2 connection (RFC 9113), either end of it. Owns no socket and no clock: bytes come in by `receive`, go out by `host.send` when
 * `flush` is called. Push, priorities and extended CONNECT are not offered.
 */
export class Http2Session {
  readonly #host: SessionHost;
  readonly #streams: ConnectionStreams;
  readonly #incoming: Incoming;

  /** `now`: milliseconds of a clock that only goes forward. */
  constructor(role: "server" | "client", host: SessionHost, now: () => number) {
    const guard = new FloodGuard(now);
    this.#host = host;
    this.#streams = new ConnectionStreams(role, host, guard);
    this.#incoming = new Incoming(this.#streams, host, guard, LISTS[role]);
    const settings: [number, number][] = role === "server" ? [[Setting.maxConcurrentStreams, MAX_STREAMS]] : [[Setting.enablePush, 0]];
    settings.push([Setting.maxHeaderListSize, LISTS[role].soft]);
    if (role === "client") this.#streams.write(PREFACE);
    this.#streams.write(settingsFrame(settings));
    this.#streams.announce(0, this.#streams.window.start());
  }

  /** Streams that are open. */
  get active(): number {
    return this.#streams.table.size;
  }

  /**
   * The peer has begun something that it must complete soon: preface, SETTINGS, a frame that is not DATA, a header block. The number is
   * another one for each such thing.
   */
  get unfinished(): number | undefined {
    return this.#incoming.unfinished;
  }

  /** Whether `request` would open a stream. */
  get hasRoom(): boolean {
    return (
      this.#streams.goaway === undefined &&
      !this.#streams.over &&
      this.#streams.table.size < this.#streams.peer.maxConcurrentStreams &&
      this.#streams.table.last < MAX_WINDOW - 2
    );
  }

  /** No stream will ever be opened again. */
  get closing(): boolean {
    return this.#streams.goaway !== undefined || this.#streams.over;
  }

  /** There is more to read than was read: call `receive` again, with nothing, when others have had their turn. */
  get interrupted(): boolean {
    return this.#incoming.interrupted && !this.#streams.over;
  }

  receive(bytes: Buffer): void {
    if (this.#streams.over) return;
    try {
      this.#incoming.receive(bytes);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#streams.fail(error.code, error.message);
    }
  }

  /** Sends what waits, as far as windows and socket allow. True when something was sent. */
  flush(): boolean {
    let sent = false;
    for (;;) {
      const data = this.#streams.over || !this.#host.writable ? 0 : this.#streams.sender.collect();
      const out = this.#streams.take();
      if (out.length === 0) return sent;
      sent = true;
      if (out.length === 1 && out[0] !== undefined) this.#host.send(out[0], false);
      else this.#host.send(Buffer.concat(out), true);
      if (data === 0) return sent;
    }
  }

  /** Opens a stream to a server. Undefined: there is no room now. */
  request(fields: readonly RawField[], last: boolean, events: StreamEvents): Http2Stream | undefined {
    if (!this.hasRoom) return undefined;
    this.#streams.table.last = this.#streams.table.last === 0 ? 1 : this.#streams.table.last + 2;
    const stream = this.#streams.open(this.#streams.table.last);
    stream.events = events;
    this.#streams.sendBlock(stream, fields, last);
    return stream;
  }

  /** Says that no further stream is taken; those that are open go on. */
  goAway(code: number): void {
    if (this.#streams.over || this.#streams.goaway?.ours === true) return;
    this.#streams.goaway = { last: this.#streams.table.last, ours: true };
    this.#streams.write(goawayFrame(this.#streams.role === "server" ? this.#streams.table.last : 0, code));
  }

  /** The socket is gone, or is given up: every stream ends. */
  close(code: number = ErrorCode.cancel): void {
    this.#streams.close(code);
  }

  /** Ends the connection for a reason that the peer learns. */
  fail(code: number, reason: string): void {
    this.#streams.fail(code, reason);
  }
}
