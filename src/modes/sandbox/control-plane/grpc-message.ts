import type { Code } from "@connectrpc/connect";
import type { RawField } from "../proxy/http2/hpack-decoder.ts";

/** Flag and length before a message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

/** What a call ends with. */
export interface GrpcStatus {
  /** As gRPC numbers it; 0 is success. */
  readonly code: 0 | Code;
  readonly message: string;
}

/** The one message in a whole request body; a string says what is wrong with it. */
export function readMessage(body: Buffer): Buffer | string {
  if (body.length < PREFIX_BYTES) return "the request has no message";
  if (body[0] !== 0) return "compressed requests are not accepted here";
  const length = body.readUInt32BE(1);
  if (body.length !== PREFIX_BYTES + length) return "the request is not exactly one message";
  return body.subarray(PREFIX_BYTES);
}

export function writeMessage(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(PREFIX_BYTES + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** Trailers of a call; the message in the escapes of gRPC, which leave printable ASCII alone. */
export function statusFields({ code, message }: GrpcStatus): RawField[] {
  const escaped = Buffer.from(message).reduce(
    (text, byte) =>
      text +
      (byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`),
    "",
  );
  return message === ""
    ? [["grpc-status", String(code)]]
    : [
        ["grpc-status", String(code)],
        ["grpc-message", escaped],
      ];
}

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

/** Milliseconds of a `grpc-timeout`; undefined when there is none that can be read. */
export function timeoutOf(value: string | undefined): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(value ?? "");
  const unit = UNITS[match?.[2] ?? ""];
  return match === null || unit === undefined ? undefined : Number(match[1]) * unit;
}
