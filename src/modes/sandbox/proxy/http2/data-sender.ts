import { FLOW_MINIMUM_BYTES, isMemoryShort } from "../held-bytes.ts";
import { DEFAULT_WINDOW, dataHeader, Flag, FrameType, frame, MAX_FRAME_BYTES } from "./frames.ts";
import type { RawField } from "./hpack-decoder.ts";
import type { Http2Stream } from "./stream.ts";

/** Bytes of DATA that are put together for one write; less while memory is short, since they wait as a whole. */
const WRITE_BYTES = 65_536;
/** A peer that makes us send less than this although more waits is counted. */
const CRUMB_BYTES = 256;

/** The connection that DATA goes out on. */
export interface DataSenderHost {
  /** It is closed: nothing more may be sent. */
  readonly over: boolean;
  /** Frames behind those that wait to be sent already. */
  write(...frames: Buffer[]): void;
  /** A last block of fields: trailers. */
  trailers(stream: Http2Stream, fields: readonly RawField[]): void;
  /** We have said everything on this stream. */
  localEnd(stream: Http2Stream): void;
  /** The peer makes us send crumbs; may close the connection. */
  crumb(): void;
}

/** Sends the bodies of all streams of one connection in turns, as far as the windows of the peer allow. */
export class DataSender {
  /** Bytes that the peer takes on the connection as a whole (RFC 9113 section 6.9.1). */
  window: number = DEFAULT_WINDOW;
  readonly #host: DataSenderHost;
  readonly #ready = new Set<Http2Stream>();

  constructor(host: DataSenderHost) {
    this.#host = host;
  }

  /** The stream has something to send, or may send it now. */
  schedule(stream: Http2Stream): void {
    this.#ready.add(stream);
  }

  forget(stream: Http2Stream): void {
    this.#ready.delete(stream);
  }

  clear(): void {
    this.#ready.clear();
  }

  /** Takes turns among the streams that have something; gives the bytes of DATA that go into the next write. */
  collect(): number {
    let collected = 0;
    const most = isMemoryShort() ? FLOW_MINIMUM_BYTES : WRITE_BYTES;
    while (collected < most && !this.#host.over) {
      const [stream] = this.#ready;
      if (stream === undefined) break;
      this.#ready.delete(stream);
      if (stream.gone || stream.localEnded) continue;
      if (stream.queue.length > 0) {
        const allowed = Math.min(MAX_FRAME_BYTES, this.window, stream.sendWindow);
        if (allowed <= 0) {
          // Without a window of its own it waits for WINDOW_UPDATE; without one of the connection, all do.
          if (stream.sendWindow > 0) {
            this.#ready.add(stream);
            break;
          }
          continue;
        }
        collected += this.#send(stream, allowed);
      }
      if (stream.queue.length > 0) this.#ready.add(stream);
      else this.#sendEnd(stream);
    }
    return collected;
  }

  #send(stream: Http2Stream, allowed: number): number {
    const bytes = stream.queue.take(allowed);
    if (bytes.length === allowed && allowed < CRUMB_BYTES && stream.queue.length > 0) this.#host.crumb();
    if (this.#host.over) return 0;
    const last = stream.queue.length === 0 && stream.ending !== undefined && stream.ending.length === 0;
    this.window -= bytes.length;
    stream.sendWindow -= bytes.length;
    this.#host.write(dataHeader(stream.id, bytes.length, last), bytes);
    if (last) this.#host.localEnd(stream);
    stream.events.progress();
    return bytes.length;
  }

  #sendEnd(stream: Http2Stream): void {
    const { ending } = stream;
    if (ending === undefined || stream.localEnded || stream.gone || this.#host.over) return;
    if (ending.length > 0) {
      this.#host.trailers(stream, ending);
    } else {
      this.#host.write(frame(FrameType.data, Flag.endStream, stream.id));
      this.#host.localEnd(stream);
    }
    stream.events.progress();
  }
}
