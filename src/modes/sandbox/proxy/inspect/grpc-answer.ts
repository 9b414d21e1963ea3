import type { Field } from "../http1/fields.ts";
import type { RawField } from "../http2/hpack-decoder.ts";
import type { Answer } from "./ruling.ts";

/** Status codes of gRPC by those of HTTP, as far as we answer with them; UNKNOWN otherwise. */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 3,
  401: 16,
  403: 7,
  405: 12,
  408: 4,
  413: 8,
  414: 3,
  421: 14,
  429: 8,
  431: 8,
  500: 13,
  502: 14,
  503: 14,
  504: 4,
};
const UNKNOWN = 2;

export function isGrpc(fields: readonly Field[]): boolean {
  return fields.some(({ lower, value }) => lower === "content-type" && /^application\/grpc(?:$|[+;])/i.test(value));
}

/** The answer as a gRPC client understands it: a status in what are at once head and trailers, with the reason for people. */
export function grpcAnswer(answer: Answer): RawField[] {
  const others = answer.fields.filter(({ lower }) => lower !== "content-type").map(({ lower, value }): RawField => [lower, value]);
  return [
    [":status", "200"],
    ["content-type", "application/grpc"],
    ["grpc-status", String(GRPC_STATUS[answer.status] ?? UNKNOWN)],
    ["grpc-message", percentEncoded(messageOf(answer))],
    ...others,
  ];
}

/** What a refusal says to people, or the body as it is. */
function messageOf({ body }: Answer): string {
  const text = body.toString("utf8");
  try {
    const { detail, next_steps: next } = JSON.parse(text) as { detail?: unknown; next_steps?: unknown };
    const steps = Array.isArray(next) ? ` ${next.join(" ")}` : "";
    return typeof detail === "string" ? `${detail}.${steps}` : text;
  } catch {
    return text;
  }
}

/** The gRPC specification's encoding of messages: printable ASCII except the percent sign, the rest as escapes of UTF-8. */
function percentEncoded(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8"))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return encoded;
}
