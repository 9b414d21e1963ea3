import type { StreamInspector } from "../proxy/inspect/ruling.ts";
import { OPCODE, readFrameHead } from "../proxy/websocket/frame.ts";
import { type BodyMask, type Mask, STAR } from "./mask.ts";

/** What a server may send while the end of a frame is held back: pings between the frames of one message. Bytes. */
const MAX_QUEUED_BYTES = 65_536;
const NO_BYTES = Buffer.alloc(0);

/** What goes on, in order: bytes as they are, or so many of a message that is being masked. */
type Segment = { readonly bytes: Buffer } | { left: number };

/**
 * Masks what a server sends in WebSocket frames; heads pass as they are, since lengths do not change. A message is masked over its frames: where one
 * ends in what may be the beginning of a secret, that waits for the next.
 */
export class MessageMask {
  readonly #mask: Mask;
  readonly #message: BodyMask;
  #head: Buffer = NO_BYTES;
  /** The frame whose payload is coming. */
  #frame: { readonly mask: BodyMask | undefined; readonly last: boolean; left: number } | undefined;
  readonly #segments: Segment[] = [];
  /** Masked bytes of messages that have their place in `#segments`. */
  #masked: Buffer = NO_BYTES;
  #queued = 0;

  constructor(mask: Mask) {
    this.#mask = mask;
    this.#message = mask.body();
  }

  /** What may go on. Of a head that is not complete nothing does. */
  take(bytes: Buffer): Buffer {
    let rest = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    this.#head = NO_BYTES;
    while (rest.length > 0) {
      const frame = this.#frame;
      if (frame !== undefined) {
        const size = Math.min(frame.left, rest.length);
        frame.left -= size;
        this.#payload(frame, rest.subarray(0, size));
        rest = rest.subarray(size);
        continue;
      }
      const head = readFrameHead(rest);
      if (head === undefined) {
        this.#head = Buffer.from(rest);
        break;
      }
      this.#queue(rest.subarray(0, head.size));
      rest = rest.subarray(head.size);
      // A control frame may stand inside a message, and is none of it.
      const control = head.opcode >= OPCODE.close;
      this.#frame = { mask: control ? this.#mask.body() : undefined, last: control || head.fin, left: head.length };
      if (!control) this.#segments.push({ left: head.length });
      if (head.length === 0) this.#payload(this.#frame, NO_BYTES);
    }
    const ready = this.#ready();
    return this.#queued > MAX_QUEUED_BYTES ? Buffer.concat([ready, this.flush()]) : ready;
  }

  /** What is held back, hidden: nothing of it will be known. */
  flush(): Buffer {
    this.#masked = Buffer.concat([this.#masked, this.#message.take(NO_BYTES, true).fill(STAR)]);
    return this.#ready();
  }

  #payload(frame: { readonly mask: BodyMask | undefined; readonly last: boolean; readonly left: number }, bytes: Buffer): void {
    const ends = frame.left === 0;
    const masked = (frame.mask ?? this.#message).take(bytes, ends && frame.last);
    if (frame.mask === undefined) this.#masked = this.#masked.length === 0 ? masked : Buffer.concat([this.#masked, masked]);
    else this.#queue(masked);
    if (ends) this.#frame = undefined;
  }

  #queue(bytes: Buffer): void {
    this.#segments.push({ bytes });
    this.#queued += bytes.length;
  }

  #ready(): Buffer {
    const out: Buffer[] = [];
    let gone = 0;
    for (const segment of this.#segments) {
      if ("bytes" in segment) {
        this.#queued -= segment.bytes.length;
        out.push(segment.bytes);
      } else {
        const size = Math.min(segment.left, this.#masked.length);
        out.push(this.#masked.subarray(0, size));
        this.#masked = this.#masked.subarray(size);
        segment.left -= size;
        if (segment.left > 0) break;
      }
      gone++;
    }
    this.#segments.splice(0, gone);
    return Buffer.concat(out);
  }
}

/** The stream with what the server sends masked. */
export function maskedStream(stream: StreamInspector, mask: Mask): StreamInspector {
  const messages = new MessageMask(mask);
  return {
    fromClient(bytes) {
      const step = stream.fromClient(bytes);
      // Our own frames stand behind what the client has of the server's.
      return step.answer === undefined ? step : { ...step, answer: Buffer.concat([messages.flush(), step.answer]) };
    },
    fromServer(bytes) {
      const step = stream.fromServer?.(bytes) ?? { forward: bytes };
      const forward = messages.take(step.forward);
      return { ...step, forward: step.close === true ? Buffer.concat([forward, messages.flush()]) : forward };
    },
    stillAllowed: () => stream.stillAllowed?.() ?? true,
    ended: () => stream.ended?.(),
  };
}
