import type { Field } from "./fields.ts";
import { HeadError } from "./refused.ts";

/** How the end of a body is known. */
export type BodyFraming = { readonly kind: "none" } | { readonly kind: "length"; readonly length: number } | { readonly kind: "chunked" };

/**
 * The framing of a request body (RFC 9112 section 6.3), only where there is one reading of it: one Content-Length of digits, or one
 * Transfer-Encoding that says `chunked` alone, in HTTP/1.1, never both.
 */
export function readFraming(version: string, fields: readonly Field[]): BodyFraming {
  let length: string | undefined;
  let coding: string | undefined;
  for (const field of fields) {
    if (field.lower === "content-length") {
      if (length !== undefined) throw new HeadError(400, "content_length", "more than one Content-Length");
      length = field.value;
    } else if (field.lower === "transfer-encoding") {
      if (coding !== undefined) throw new HeadError(400, "transfer_encoding", "more than one Transfer-Encoding");
      coding = field.value;
    }
  }
  if (coding !== undefined) return chunked(coding, length, version);
  if (length === undefined) return { kind: "none" };
  if (!/^\d{1,15}$/.test(length)) throw new HeadError(400, "content_length", "Content-Length is not a number");
  return { kind: "length", length: Number(length) };
}

function chunked(coding: string, length: string | undefined, version: string): BodyFraming {
  if (length !== undefined) throw new HeadError(400, "content_length_and_transfer_encoding", "Content-Length beside Transfer-Encoding");
  if (version !== "1.1") throw new HeadError(400, "transfer_encoding", "Transfer-Encoding in HTTP/1.0");
  if (coding.toLowerCase() !== "chunked") throw new HeadError(400, "transfer_encoding", "Transfer-Encoding other than chunked");
  return { kind: "chunked" };
}
