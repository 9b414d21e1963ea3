/** What a proxy may say before the tunnel stands; error pages come behind it and are not read. */
const MAX_HEAD_BYTES = 16_384;
const MAX_REASON = 80;

/** `incomplete`: more bytes are needed. `established`: `rest` is the server's already. */
export type ConnectReply =
  | { readonly kind: "incomplete" }
  | { readonly kind: "established"; readonly rest: Buffer }
  | { readonly kind: "refused"; readonly problem: string };

/** Reads a proxy's answer to CONNECT (RFC 9110 section 9.3.6): any 2xx opens the tunnel right behind the head. */
export function readConnectReply(bytes: Buffer): ConnectReply {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) {
    if (bytes.length > MAX_HEAD_BYTES) return { kind: "refused", problem: `an answer of more than ${MAX_HEAD_BYTES} bytes without an end` };
    return startsLikeHttp(bytes) ? { kind: "incomplete" } : { kind: "refused", problem: "no HTTP answer" };
  }
  const line = bytes.toString("latin1", 0, bytes.indexOf("\r\n"));
  const [, status, reason = ""] = /^HTTP\/1\.[01] ([1-5]\d\d)(?: (.*))?$/.exec(line) ?? [];
  if (status === undefined) return { kind: "refused", problem: "no HTTP answer" };
  // Interim answers come before the one that counts.
  if (status.startsWith("1")) return readConnectReply(bytes.subarray(end + 4));
  if (status.startsWith("2")) return { kind: "established", rest: bytes.subarray(end + 4) };
  return { kind: "refused", problem: `${status} ${reason.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_REASON)}`.trim() };
}

function startsLikeHttp(bytes: Buffer): boolean {
  const start = bytes.toString("latin1", 0, 7);
  return "HTTP/1.".startsWith(start);
}
