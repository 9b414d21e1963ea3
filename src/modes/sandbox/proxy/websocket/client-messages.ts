import { isUtf8 } from "node:buffer";
import type { ByteBudget } from "../byte-budget.ts";
import { GrowingBuffer } from "../growing-buffer.ts";
import { applyMask, CLOSE, type FrameHead, MAX_CONTROL_BYTES, MAX_HEAD_BYTES, OPCODE, readFrameHead } from "./frame.ts";
import { TextMessage } from "./text-message.ts";

/** One text message, kept whole until it is decided. Chat and API messages have kilobytes; 4 MiB is what the existing OpenShell takes. */
export const MAX_TEXT_BYTES = 4_194_304;
/** One frame of a binary message; it passes in pieces as it comes. */
export const MAX_BINARY_FRAME_BYTES = 16_777_216;
/** Frames of one message; a sender that splits finer is probing. */
export const MAX_FRAGMENTS = 4096;

/** What a client did wrong, as the code and reason of a Close frame. */
export class FrameError extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** Takes what a client sends, in order. */
export interface MessageSink {
  /** A whole text message, whose memory is the sink's from now on. */
  text(message: TextMessage): void;
  /** The head of one frame of a binary message; `first`: of a new message. */
  binaryFrame(frame: { readonly first: boolean; readonly fin: boolean; readonly length: number }): void;
  /** The next bytes of that frame; they may be changed. */
  binaryBytes(bytes: Buffer): void;
  /** A ping, a pong, or the Close that ends the client's side. */
  control(opcode: number, payload: Buffer): void;
  /** Nothing more is wanted. */
  readonly closed: boolean;
  /** Nothing more is wanted now. */
  readonly full?: boolean;
}

type Payload = { readonly kind: "text" | "binary" | "control"; readonly head: FrameHead; left: number };

const NO_BYTES = Buffer.alloc(0);

/**
 * Reads the frames of a client (RFC 6455 section 5) and gives its messages: masked, no extension, shortest lengths, whole characters. Owns no
 * socket; throws FrameError on the first violation, behind which nothing more may be read.
 */
export class ClientMessages {
  readonly #sink: MessageSink;
  readonly #budget: ByteBudget;
  #head: Buffer = NO_BYTES;
  #payload: Payload | undefined;
  #message: "text" | "binary" | undefined;
  #fragments = 0;
  readonly #text: GrowingBuffer;
  #control: Buffer = NO_BYTES;

  constructor(sink: MessageSink, budget: ByteBudget) {
    this.#sink = sink;
    this.#budget = budget;
    this.#text = new GrowingBuffer(MAX_TEXT_BYTES, budget);
  }

  /** Gives what has not been read, because the sink is full or closed. @throws FrameError */
  take(bytes: Buffer): Buffer {
    let left = bytes;
    while (left.length > 0 && !this.#sink.closed && this.#sink.full !== true)
      left = this.#payload === undefined ? this.#readHead(left) : this.#readPayload(left, this.#payload);
    return left;
  }

  /** Gives back what is kept of an unfinished message. */
  drop(): void {
    this.#text.drop();
  }

  #readHead(bytes: Buffer): Buffer {
    const had = this.#head.length;
    const start = had === 0 ? bytes : Buffer.concat([this.#head, bytes.subarray(0, MAX_HEAD_BYTES)]);
    const head = readFrameHead(start);
    if (head === undefined) {
      this.#head = Buffer.from(start);
      return NO_BYTES;
    }
    this.#head = NO_BYTES;
    checkHead(head);
    this.#payload = { kind: this.#open(head), head, left: head.length };
    const rest = bytes.subarray(head.size - had);
    return head.length === 0 ? this.#readPayload(rest, this.#payload) : rest;
  }

  /** What the frame belongs to. */
  #open(head: FrameHead): Payload["kind"] {
    if (head.opcode >= OPCODE.close) {
      this.#control = Buffer.alloc(head.length);
      return "control";
    }
    const first = head.opcode !== OPCODE.continuation;
    if (first && this.#message !== undefined) throw violation("a new message inside another");
    if (!first && this.#message === undefined) throw violation("a continuation of no message");
    const kind = first ? (head.opcode === OPCODE.text ? "text" : "binary") : (this.#message ?? "text");
    this.#fragments = first ? 1 : this.#fragments + 1;
    if (this.#fragments > MAX_FRAGMENTS)
      throw new FrameError(CLOSE.policyViolation, `a message of more than ${MAX_FRAGMENTS} frames, at most ${MAX_FRAGMENTS} are accepted`);
    this.#message = head.fin ? undefined : kind;
    if (kind === "text") this.#reserve(this.#text.length + head.length);
    else this.#openBinary(head, first);
    return kind;
  }

  #openBinary({ fin, length }: FrameHead, first: boolean): void {
    if (length > MAX_BINARY_FRAME_BYTES)
      throw new FrameError(CLOSE.tooBig, `a binary frame of ${length} bytes, at most ${MAX_BINARY_FRAME_BYTES} are accepted`);
    this.#sink.binaryFrame({ first, fin, length });
  }

  #reserve(length: number): void {
    if (length > MAX_TEXT_BYTES)
      throw new FrameError(CLOSE.tooBig, `a text message of ${length} bytes, at most ${MAX_TEXT_BYTES} are accepted`);
  }

  #readPayload(bytes: Buffer, payload: Payload): Buffer {
    const { kind, head } = payload;
    const piece = bytes.subarray(0, payload.left);
    const offset = head.length - payload.left;
    payload.left -= piece.length;
    if (piece.length > 0 && !this.#sink.closed) this.#keep(kind, head, piece, offset);
    if (payload.left === 0) {
      this.#payload = undefined;
      if (!this.#sink.closed) this.#close(kind, head);
    }
    return bytes.subarray(piece.length);
  }

  #keep(kind: Payload["kind"], { mask = NO_BYTES }: FrameHead, piece: Buffer, offset: number): void {
    if (kind === "binary") {
      const own = Buffer.from(piece);
      applyMask(own, mask, offset);
      this.#sink.binaryBytes(own);
      return;
    }
    const into = kind === "text" ? this.#text.append(piece) : this.#control.subarray(offset, offset + piece.length);
    if (into === undefined)
      throw new FrameError(
        CLOSE.tryAgainLater,
        `the messages under way in this sandbox fill the ${this.#budget.limit} bytes that they may`,
      );
    if (kind === "control") piece.copy(into);
    applyMask(into, mask, offset);
  }

  #close(kind: Payload["kind"], { opcode, fin }: FrameHead): void {
    if (kind === "control") {
      if (opcode === OPCODE.close) checkClose(this.#control);
      this.#sink.control(opcode, this.#control);
    } else if (kind === "text" && fin) {
      const bytes = this.#text.bytes();
      checkText(bytes);
      this.drop();
      this.#sink.text(new TextMessage(bytes));
    }
  }
}

function checkHead({ fin, reserved, opcode, length, shortest, mask }: FrameHead): void {
  if (mask === undefined) throw violation("a frame that is not masked");
  if (reserved !== 0) throw violation("a reserved bit without an extension");
  if (!shortest) throw violation("a length in a longer form than it needs");
  if ((opcode > OPCODE.binary && opcode < OPCODE.close) || opcode > OPCODE.pong) throw violation(`a frame of the unknown kind ${opcode}`);
  if (opcode < OPCODE.close) return;
  if (!fin) throw violation("a control frame in fragments");
  if (length > MAX_CONTROL_BYTES) throw violation(`a control frame of ${length} bytes, at most ${MAX_CONTROL_BYTES} are accepted`);
}

/** Sections 5.5.1 and 7.4: nothing, or a code that may be sent and a reason in UTF-8. */
function checkClose(payload: Buffer): void {
  if (payload.length === 0) return;
  const code = payload.length === 1 ? 0 : payload.readUInt16BE(0);
  const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
  if (!known) throw violation("a Close frame without a valid code");
  checkText(payload.subarray(2));
}

function checkText(bytes: Buffer): void {
  if (!isUtf8(bytes)) throw new FrameError(CLOSE.invalidPayload, "text that is not UTF-8");
}

function violation(reason: string): FrameError {
  return new FrameError(CLOSE.protocolError, reason);
}
