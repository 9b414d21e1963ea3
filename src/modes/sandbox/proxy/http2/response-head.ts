import { nominatedFields } from "../http1/connection-options.ts";
import type { Field } from "../http1/fields.ts";
import { contentLength, Malformed, splitFields, writtenFields } from "./fields.ts";
import type { DecodedBlock, RawField } from "./hpack-decoder.ts";

const RESPONSE_PSEUDO: ReadonlySet<string> = new Set([":status"]);

export interface Http2ResponseHead {
  readonly status: number;
  readonly fields: readonly Field[];
  /** Announced length of the body. */
  readonly length: number | undefined;
}

/** Reads the head of an answer, interim or final; text: why it is none. */
export function readHttp2Response(block: DecodedBlock): Http2ResponseHead | string {
  if (block.tooLarge) return "the list of response fields is larger than is accepted";
  try {
    const { pseudo, fields } = splitFields(block.fields, RESPONSE_PSEUDO);
    const status = pseudo.get(":status");
    if (status === undefined || !/^[1-9]\d\d$/.test(status)) throw new Malformed("no valid :status");
    if (status === "101") throw new Malformed("101, which HTTP/2 does not have");
    return { status: Number(status), fields, length: contentLength(fields) };
  } catch (error) {
    if (error instanceof Malformed) return `response head: ${error.message}`;
    throw error;
  }
}

/** The head of an answer as a client gets it over HTTP/2. */
export function writeHttp2Response(status: number, fields: readonly Field[]): RawField[] {
  return [[":status", String(status)], ...writtenFields(fields, nominatedFields(fields))];
}
