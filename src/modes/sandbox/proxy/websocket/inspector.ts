import { ByteBudget } from "../byte-budget.ts";
import { giveBack } from "../give-back.ts";
import type { StreamInspector, StreamStep } from "../inspect/ruling.ts";
import { isTurnOver } from "../turns.ts";
import { ClientMessages, FrameError, type MessageSink } from "./client-messages.ts";
import { applyMask, CLOSE, closeFrame, frame, frameHead, freshMask, OPCODE } from "./frame.ts";
import { ServerFrames } from "./server-frames.ts";
import type { TextMessage } from "./text-message.ts";

/** What becomes of one message: it goes on, perhaps with another text, or the connection ends for this reason. */
export type MessageVerdict = { readonly allowed: true; readonly text?: string } | { readonly allowed: false; readonly reason: string };

/** Decides the messages of one connection, each under the policy of its moment, and tells of them. */
export interface MessageJudge {
  /** Undefined: a binary message, whose content nobody reads. */
  judge(message: TextMessage | undefined): MessageVerdict;
  /** The client does not speak the protocol: the connection ends for this reason. */
  violated(reason: string): void;
  /** Whether the connection may go on under a new policy. */
  stillAllowed(): boolean;
  /** The client is gone. */
  ended?(): void;
}

/** Text messages that are not complete yet, of all connections of the sandbox: sixteen of the longest. */
export const MAX_MESSAGES_UNDER_WAY_BYTES = 67_108_864;

/** What is left of a server's frame when the connection has to end, and is still passed on so that our Close can stand behind it. */
const MAX_LAST_FRAME_BYTES = 65_536;

/**
 * Messages and control frames that are looked at in one go. Each has a decision and an event, 60 µs in all, and a client can send 75,000 of them in one read.
 */
export const MESSAGES_AT_ONCE = 32;

const underWay = new ByteBudget(MAX_MESSAGES_UNDER_WAY_BYTES);
const NO_BYTES = Buffer.alloc(0);
/** Smaller memory may be part of a pool that others use, and is not worth it. */
const GIVEN_BACK_BYTES = 16_384;

/**
 * A WebSocket connection whose client's messages are decided one by one. What is allowed goes on in frames of ours with a mask of ours; of a text
 * message nothing goes on before it is allowed as a whole. What is refused ends the connection with a Close frame to both sides.
 */
export class WebSocketInspector implements StreamInspector, MessageSink {
  readonly #judge: MessageJudge;
  readonly #turnIsOver: () => boolean;
  readonly #messages: ClientMessages;
  readonly #server = new ServerFrames();
  #forward: Buffer[] = [];
  /** Memory that nobody needs once `#forward` is put together. */
  readonly #spent: Buffer[] = [];
  #mask: Buffer = NO_BYTES;
  #masked = 0;
  /** `closing`: the client has said Close. `ending`: we have, and wait for the end of a frame of the server. */
  #state: "open" | "closing" | "ending" = "open";
  #farewell: Buffer | undefined;
  /** Messages and control frames since the last turn. */
  #looked = 0;

  /** `turnIsOver`: others wait. */
  constructor(judge: MessageJudge, budget: ByteBudget = underWay, turnIsOver: () => boolean = isTurnOver) {
    this.#turnIsOver = turnIsOver;
    this.#judge = judge;
    this.#messages = new ClientMessages(this, budget);
  }

  /** The memory of these bytes is the inspector's, unless some are given back as `rest`. */
  fromClient(bytes: Buffer): StreamStep {
    if (this.closed) return { forward: NO_BYTES };
    this.#forward = [];
    this.#looked = 0;
    let rest: Buffer = NO_BYTES;
    try {
      rest = this.#messages.take(bytes);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#judge.violated(error.message);
      this.#end(error.code, error.message);
    }
    const forward = Buffer.concat(this.#forward);
    this.#forward = [];
    for (const spent of this.#spent.splice(0)) giveBack(spent);
    // Everything of it has been copied.
    if (rest.length === 0 && isAlone(bytes)) giveBack(bytes);
    const owned = isAlone(forward);
    if (this.#farewell !== undefined) return { forward, owned, ...this.#leave() };
    return rest.length === 0 || this.closed ? { forward, owned } : { forward, owned, rest };
  }

  fromServer(bytes: Buffer): StreamStep {
    if (this.#farewell === undefined) {
      this.#server.take(bytes, false);
      return { forward: bytes, owned: isAlone(bytes) };
    }
    const last = bytes.subarray(0, this.#server.take(bytes, true));
    const { answer, close } = this.#leave();
    return { forward: answer === undefined ? last : Buffer.concat([last, answer]), ...(close === undefined ? {} : { close }) };
  }

  stillAllowed(): boolean {
    return this.#judge.stillAllowed();
  }

  ended(): void {
    this.#messages.drop();
    this.#judge.ended?.();
  }

  // What the client sends.

  get closed(): boolean {
    return this.#state !== "open";
  }

  get full(): boolean {
    return this.#looked >= MESSAGES_AT_ONCE || (this.#looked > 0 && this.#turnIsOver());
  }

  text(message: TextMessage): void {
    this.#looked++;
    const verdict = this.#judge.judge(message);
    if (message.bytes.length >= GIVEN_BACK_BYTES) this.#spent.push(message.bytes);
    if (!verdict.allowed) {
      this.#end(CLOSE.policyViolation, verdict.reason);
      return;
    }
    const payload = verdict.text === undefined ? message.bytes : Buffer.from(verdict.text);
    const mask = freshMask();
    applyMask(payload, mask, 0);
    this.#forward.push(frameHead({ fin: true, opcode: OPCODE.text, length: payload.length }, mask), payload);
  }

  binaryFrame({ first, fin, length }: { first: boolean; fin: boolean; length: number }): void {
    this.#looked++;
    const verdict: MessageVerdict = first ? this.#judge.judge(undefined) : { allowed: true };
    if (!verdict.allowed) {
      this.#end(CLOSE.policyViolation, verdict.reason);
      return;
    }
    this.#mask = freshMask();
    this.#masked = 0;
    this.#forward.push(frameHead({ fin, opcode: first ? OPCODE.binary : OPCODE.continuation, length }, this.#mask));
  }

  binaryBytes(bytes: Buffer): void {
    applyMask(bytes, this.#mask, this.#masked);
    this.#masked += bytes.length;
    this.#forward.push(bytes);
  }

  control(opcode: number, payload: Buffer): void {
    this.#looked++;
    this.#forward.push(frame(opcode, payload, freshMask()));
    if (opcode === OPCODE.close) this.#state = "closing";
  }

  /** Both sides are told; the client as soon as no frame of the server is in the way. */
  #end(code: number, reason: string): void {
    this.#state = "ending";
    this.#messages.drop();
    this.#forward.push(closeFrame(code, reason, freshMask()));
    this.#farewell = closeFrame(code, reason, undefined);
  }

  #leave(): Pick<StreamStep, "answer" | "close"> {
    if (this.#server.atBoundary && this.#farewell !== undefined) return { answer: this.#farewell, close: true };
    return this.#server.missing > MAX_LAST_FRAME_BYTES ? { close: true } : {};
  }
}

/** Bytes of some size that have their memory for themselves. */
function isAlone(bytes: Buffer): boolean {
  return bytes.length >= GIVEN_BACK_BYTES && bytes.length === bytes.buffer.byteLength;
}
