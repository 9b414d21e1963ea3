import { TLS_HANDSHAKE } from "../tls/client-hello.ts";

/** What a client speaks, by its first bytes. */
export type Spoken = "tls" | "http" | "http2" | "other" | "unknown";

/** The longest method that anyone registered has 17 characters (`UPDATEREDIRECTREF`). */
const MAX_METHOD = 24;
const HTTP2_PREFACE = "PRI * HTTP/2.0\r\n";

/** `unknown` until enough has arrived; `http` as soon as a method is followed by a blank and the beginning of a target. */
export function spokenIn(bytes: Buffer): Spoken {
  if (bytes.length === 0) return "unknown";
  if (bytes[0] === TLS_HANDSHAKE) return "tls";
  const text = bytes.toString("latin1", 0, MAX_METHOD + 2);
  if (text.startsWith(HTTP2_PREFACE)) return "http2";
  if (HTTP2_PREFACE.startsWith(text)) return "unknown";
  if (/^[A-Z]+ [/*hH]/.test(text)) return "http";
  return /^[A-Z]{1,24} ?$/.test(text) ? "unknown" : "other";
}

/** For people. */
export const SPOKEN: Readonly<Record<Spoken, string>> = {
  tls: "TLS that is not ended here",
  http: "HTTP",
  http2: "HTTP/2 without TLS",
  other: "a protocol other than HTTP",
  unknown: "an unknown protocol",
};
