import { ConnectionError, ErrorCode } from "./errors.ts";

/** RFC 9113 section 6. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

/** RFC 9113 section 6.5.2. */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

/** What a client sends first (RFC 9113 section 3.4). */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The initial SETTINGS_MAX_FRAME_SIZE, which is what we accept and, since everybody must, what we send at most. */
export const MAX_FRAME_BYTES = 16_384;
export const FRAME_HEADER_BYTES = 9;
export const MAX_WINDOW = 0x7fff_ffff;
/** Windows before anybody says anything (RFC 9113 section 6.9.2). */
export const DEFAULT_WINDOW = 65_535;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Header and payload of one frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = NOTHING): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

const NOTHING = Buffer.alloc(0);

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  }
  return frame(FrameType.settings, 0, 0, payload);
}

/** A frame whose payload is one number of 32 bits: WINDOW_UPDATE, RST_STREAM. */
export function numberFrame(type: number, stream: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return frame(type, 0, stream, payload);
}

export function goawayFrame(lastStream: number, code: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStream, 0);
  payload.writeUInt32BE(code, 4);
  return frame(FrameType.goaway, 0, 0, payload);
}

/** A header block in as many frames as it takes. */
export function headerFrames(stream: number, block: Buffer, endStream: boolean): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += MAX_FRAME_BYTES) {
    const last = at + MAX_FRAME_BYTES >= block.length;
    const flags = (last ? Flag.endHeaders : 0) | (at === 0 && endStream ? Flag.endStream : 0);
    frames.push(frame(at === 0 ? FrameType.headers : FrameType.continuation, flags, stream, block.subarray(at, at + MAX_FRAME_BYTES)));
  }
  return frames.length === 1 && frames[0] !== undefined ? frames[0] : Buffer.concat(frames);
}

/** The header of a DATA frame, for payloads that are written behind it. */
export function dataHeader(stream: number, size: number, last: boolean): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  bytes.writeUIntBE(size, 0, 3);
  bytes[3] = FrameType.data;
  bytes[4] = last ? Flag.endStream : 0;
  bytes.writeUInt32BE(stream, 5);
  return bytes;
}

/**
 * Cuts what a connection receives into frames. DATA without padding is given in pieces, as it comes, each like a frame of its own; nothing
 * larger than one other frame is kept.
 */
export class FrameReader {
  /** Set while frames are read: those behind are kept for the next `push`. */
  held = false;
  #pending: Buffer | undefined;
  /** A DATA frame that has not come whole. */
  #data: { readonly flags: number; readonly stream: number; left: number } | undefined;

  /** Part of a frame has come that is not DATA: somebody is expected to send the rest soon. */
  get unfinished(): boolean {
    return this.#pending !== undefined && (this.#pending.length < 4 || this.#pending[3] !== FrameType.data);
  }

  /** Throws ConnectionError on a frame that is too large. */
  push(bytes: Buffer, each: (frame: Frame) => void): void {
    this.held = false;
    let at = this.#data === undefined ? 0 : this.#piece(this.#data, bytes, 0, each);
    const all = this.#pending === undefined ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = undefined;
    while (all.length - at >= 3 && !this.held) {
      const size = all.readUIntBE(at, 3);
      if (size > MAX_FRAME_BYTES)
        throw new ConnectionError(ErrorCode.frameSizeError, `frame of ${size} bytes, at most ${MAX_FRAME_BYTES} are accepted`);
      const begin = at + FRAME_HEADER_BYTES;
      const end = begin + size;
      if (begin > all.length) break;
      const type = all[at + 3] ?? 0;
      const flags = all[at + 4] ?? 0;
      const stream = all.readUInt32BE(at + 5) & MAX_WINDOW;
      if (end <= all.length) {
        each({ type, flags, stream, payload: all.subarray(begin, end) });
        at = end;
      } else if (type === FrameType.data && (flags & Flag.padded) === 0) {
        at = this.#piece({ flags, stream, left: size }, all, begin, each);
        return;
      } else {
        break;
      }
    }
    if (at < all.length) this.#pending = this.held ? all.subarray(at) : Buffer.from(all.subarray(at));
  }

  /** What is here of a DATA frame; gives where the next frame begins. */
  #piece(data: { flags: number; stream: number; left: number }, bytes: Buffer, at: number, each: (frame: Frame) => void): number {
    const payload = bytes.subarray(at, at + data.left);
    data.left -= payload.length;
    this.#data = data.left > 0 ? data : undefined;
    const flags = data.left > 0 ? data.flags & ~Flag.endStream : data.flags;
    if (payload.length > 0) each({ type: FrameType.data, flags, stream: data.stream, payload });
    return at + payload.length;
  }
}
