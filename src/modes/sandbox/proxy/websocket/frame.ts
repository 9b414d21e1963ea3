import { getRandomValues } from "node:crypto";

/** RFC 6455 section 5.2. */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
/** RFC 6455 section 7.4.1. */
export const CLOSE = { protocolError: 1002, invalidPayload: 1007, policyViolation: 1008, tooBig: 1009, tryAgainLater: 1013 } as const;

/** Section 5.5: control frames are never longer, and never in fragments. */
export const MAX_CONTROL_BYTES = 125;
/** The longest head: two bytes, eight of length, four of mask. */
export const MAX_HEAD_BYTES = 14;

export interface FrameHead {
  readonly fin: boolean;
  /** The three bits that only an extension may set. */
  readonly reserved: number;
  readonly opcode: number;
  /** Bytes of payload; above 2⁵³ imprecise, which no limit admits. */
  readonly length: number;
  /** The length is written in the shortest form, as section 5.2 demands. */
  readonly shortest: boolean;
  /** Undefined: the payload is as it is. */
  readonly mask: Buffer | undefined;
  /** Bytes of the head itself. */
  readonly size: number;
}

/** The head at the start of `bytes`; undefined: part of it is missing. */
export function readFrameHead(bytes: Buffer): FrameHead | undefined {
  const [first = 0, second = 0] = bytes;
  if (bytes.length < 2) return undefined;
  const short = second & 0x7f;
  const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
  const masked = (second & 0x80) !== 0;
  const size = 2 + extended + (masked ? 4 : 0);
  if (bytes.length < size) return undefined;
  const length = extended === 0 ? short : extended === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  return {
    fin: (first & 0x80) !== 0,
    reserved: (first >> 4) & 7,
    opcode: first & 15,
    length,
    shortest: extended === 0 || length > (extended === 2 ? 125 : 65_535),
    mask: masked ? Buffer.from(bytes.subarray(size - 4, size)) : undefined,
    size,
  };
}

export interface FrameStart {
  readonly fin: boolean;
  readonly opcode: number;
  readonly length: number;
}

/** The head of a frame that we send; with a mask when it goes to a server. */
export function frameHead({ fin, opcode, length }: FrameStart, mask: Buffer | undefined): Buffer {
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (mask === undefined ? 0 : 0x80) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  else if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  return mask === undefined ? head : Buffer.concat([head, mask]);
}

/** A whole frame. The payload may be changed by it. */
export function frame(opcode: number, payload: Buffer, mask: Buffer | undefined): Buffer {
  const head = frameHead({ fin: true, opcode, length: payload.length }, mask);
  if (mask !== undefined) applyMask(payload, mask, 0);
  return Buffer.concat([head, payload]);
}

/** Section 5.3: unpredictable for whoever chose the payload, so that intermediaries cannot be fed with it. */
export function freshMask(): Buffer {
  return Buffer.from(getRandomValues(new Uint8Array(4)));
}

/** Masks or unmasks in place; `offset`: bytes of the same frame before these. */
export function applyMask(bytes: Buffer, mask: Uint8Array, offset: number): void {
  for (let at = 0; at < bytes.length; at++) bytes[at] = (bytes[at] ?? 0) ^ (mask[(at + offset) & 3] ?? 0);
}

/** A Close frame; a reason that does not fit is cut at a character. */
export function closeFrame(code: number, reason: string, mask: Buffer | undefined): Buffer {
  const characters = [...reason.slice(0, MAX_CONTROL_BYTES - 2)];
  while (Buffer.byteLength(characters.join("")) > MAX_CONTROL_BYTES - 2) characters.pop();
  // A pair that the slice has cut is half a character.
  const text = characters.join("").toWellFormed();
  const payload = Buffer.alloc(2 + Buffer.byteLength(text));
  payload.writeUInt16BE(code, 0);
  payload.write(text, 2);
  return frame(OPCODE.close, payload, mask);
}
