import type { StreamInspector } from "../proxy/inspect/ruling.ts";
import { OPCODE, readFrameHead } from "../proxy/websocket/frame.ts";
import type { BodyMask, Mask } from "./mask.ts";

/**
 * Masks what a server sends in WebSocket frames, payload by payload; heads pass as they are, since lengths do not change. A secret that is cut over
 * two frames of a message is masked from the second on: the first has gone when it is recognised.
 */
export class MessageMask {
  readonly #mask: Mask;
  readonly #message: BodyMask;
  #frame: BodyMask;
  #head: Buffer = Buffer.alloc(0);
  #left = 0;

  constructor(mask: Mask) {
    this.#mask = mask;
    this.#message = mask.body();
    this.#frame = this.#message;
  }

  /** What may go on. Of a head that is not complete nothing does. */
  take(bytes: Buffer): Buffer {
    const out: Buffer[] = [];
    let rest = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
    this.#head = Buffer.alloc(0);
    while (rest.length > 0) {
      if (this.#left > 0) {
        const size = Math.min(this.#left, rest.length);
        this.#left -= size;
        out.push(this.#frame.take(rest.subarray(0, size), this.#left === 0));
        rest = rest.subarray(size);
        continue;
      }
      const head = readFrameHead(rest);
      if (head === undefined) {
        this.#head = Buffer.from(rest);
        break;
      }
      // A control frame may stand inside a message, and is none of it.
      this.#frame = head.opcode >= OPCODE.close ? this.#mask.body() : this.#message;
      this.#left = head.length;
      out.push(rest.subarray(0, head.size));
      rest = rest.subarray(head.size);
    }
    return Buffer.concat(out);
  }
}

/** The stream with what the server sends masked. */
export function maskedStream(stream: StreamInspector, mask: Mask): StreamInspector {
  const messages = new MessageMask(mask);
  return {
    fromClient: (bytes) => stream.fromClient(bytes),
    fromServer(bytes) {
      const step = stream.fromServer?.(bytes) ?? { forward: bytes };
      return { ...step, forward: messages.take(step.forward) };
    },
    stillAllowed: () => stream.stillAllowed?.() ?? true,
    ended: () => stream.ended?.(),
  };
}
