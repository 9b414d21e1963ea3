import { isUtf8 } from "node:buffer";
import { HeadError } from "./refused.ts";

/** One header field. Values keep the bytes they came with, as Latin-1. */
export interface Field {
  readonly name: string;
  readonly lower: string;
  readonly value: string;
}

const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Everything below a blank except the tab, and DEL (RFC 9110 section 5.5). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

const NOT_ASCII = /[\x80-\xff]/;

/**
 * Refuses a part of a request (Latin-1) whose bytes are no UTF-8: programs that decode it replace, cut or refuse such bytes, each in its own way. Answers
 * of old servers have them and pass.
 */
export function checkUtf8(text: string): void {
  if (NOT_ASCII.test(text) && !isUtf8(Buffer.from(text, "latin1")))
    throw new HeadError(400, "field_encoding", "header field that is not UTF-8");
}

/** Reads field lines separated by CRLF. Line folding, blanks before the colon and control bytes are refused. */
export function readFields(text: string, limit: number): Field[] {
  const lines = text.split("\r\n");
  if (lines.length > limit) throw new HeadError(431, "too_many_fields", `${lines.length} header fields, at most ${limit} are accepted`);
  return lines.map(readField);
}

function readField(line: string): Field {
  if (line.startsWith(" ") || line.startsWith("\t")) throw new HeadError(400, "obs_fold", "folded header line");
  const colon = line.indexOf(":");
  const name = colon < 0 ? "" : line.slice(0, colon);
  if (!FIELD_NAME.test(name)) throw new HeadError(400, "field_name", "header field without a valid name");
  const value = trimBlanks(line.slice(colon + 1));
  if (CONTROL.test(value)) throw new HeadError(400, "control_byte", "control byte in a header field");
  return { name, lower: name.toLowerCase(), value };
}

function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
