/** What a PostgreSQL client says before its session (protocol 3, "Message Formats"): a length, then a code. */
export const SSL_REQUEST = 80_877_103;
const GSSENC_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
/** Major version of the protocol in the code of a startup message. */
const PROTOCOL_3 = 3;
/** MAX_STARTUP_PACKET_LENGTH of the server (src/include/libpq/pqcomm.h). */
export const MAX_STARTUP_BYTES = 10_000;
const HEAD_BYTES = 8;

export type Opening =
  /** Too little to say. */
  | { readonly kind: "incomplete" }
  /** Not PostgreSQL. */
  | { readonly kind: "other" }
  /** The client asks for encryption by GSSAPI or TLS; `size` bytes are the question. */
  | { readonly kind: "gss" | "tls"; readonly size: number }
  /** The session begins here; nothing of it has been taken. */
  | { readonly kind: "session"; readonly database: string };

/** Reads the next message before a session. */
export function readOpening(bytes: Buffer): Opening {
  if (bytes.length < HEAD_BYTES) return bytes.length > 0 && bytes[0] !== 0 ? { kind: "other" } : { kind: "incomplete" };
  const length = bytes.readUInt32BE(0);
  const code = bytes.readUInt32BE(4);
  if (length < HEAD_BYTES || length > MAX_STARTUP_BYTES) return { kind: "other" };
  if (code === SSL_REQUEST && length === HEAD_BYTES) return { kind: "tls", size: HEAD_BYTES };
  if (code === GSSENC_REQUEST && length === HEAD_BYTES) return { kind: "gss", size: HEAD_BYTES };
  if (code !== CANCEL_REQUEST && code >>> 16 !== PROTOCOL_3) return { kind: "other" };
  if (bytes.length < length) return { kind: "incomplete" };
  return { kind: "session", database: code === CANCEL_REQUEST ? "" : databaseOf(bytes.toString("latin1", HEAD_BYTES, length)) };
}

/** The question for TLS as a client sends it. */
export function sslRequest(): Buffer {
  const request = Buffer.alloc(HEAD_BYTES);
  request.writeUInt32BE(HEAD_BYTES, 0);
  request.writeUInt32BE(SSL_REQUEST, 4);
  return request;
}

/** Names and values, each ended by NUL. Without one the database is called as the user is. */
function databaseOf(parameters: string): string {
  const words = parameters.split("\0");
  const value = (name: string) => {
    for (let at = 0; at + 1 < words.length; at += 2) if (words[at] === name) return words[at + 1];
    return undefined;
  };
  return value("database") ?? value("user") ?? "";
}
