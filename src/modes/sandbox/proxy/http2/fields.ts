import type { Field } from "../http1/fields.ts";
import { requestTrailerProblem } from "../http1/trailers.ts";
import type { RawField } from "./hpack-decoder.ts";

/** Carries what is malformed (RFC 9113 section 8.1.1) out of a reader; the stream is reset. Never leaves this folder. */
export class Malformed extends Error {}

/** RFC 9113 section 8.2.1: no upper case. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const VALUE = /^(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$/;
/** Fields of a connection, which HTTP/2 does not have (section 8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]);

export interface SplitFields {
  readonly pseudo: ReadonlyMap<string, string>;
  readonly fields: readonly Field[];
}

/** Splits a decoded list into pseudo fields, each once and before all others, and the rest. Throws Malformed. */
export function splitFields(raw: readonly RawField[], allowed: ReadonlySet<string>): SplitFields {
  const pseudo = new Map<string, string>();
  const fields: Field[] = [];
  for (const [name, value] of raw) {
    if (!VALUE.test(value)) throw new Malformed("control byte or outer blank in a field value");
    if (name.startsWith(":")) {
      if (fields.length > 0) throw new Malformed(`${name} behind other fields`);
      if (!allowed.has(name)) throw new Malformed("pseudo field that is not known here");
      if (pseudo.has(name)) throw new Malformed(`${name} twice`);
      pseudo.set(name, value);
      continue;
    }
    if (!NAME.test(name)) throw new Malformed("field without a valid name");
    if (CONNECTION_FIELDS.has(name)) throw new Malformed(`${name} in HTTP/2`);
    if (name === "te" && value !== "trailers") throw new Malformed("te other than trailers");
    fields.push({ name, lower: name, value });
  }
  return { pseudo, fields };
}

const NO_PSEUDO: ReadonlySet<string> = new Set();
/** Fields that say how a message is framed or routed; too late in trailers. */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set(["content-length", "host", "te", "trailer"]);

/** Trailers of a request, or of an answer, which may have more of them. Throws Malformed. */
export function readTrailers(raw: readonly RawField[], of: "request" | "answer" = "request"): readonly Field[] {
  const { fields } = splitFields(raw, NO_PSEUDO);
  for (const { name, value } of fields) {
    if (NOT_IN_TRAILERS.has(name)) throw new Malformed(`${name} in trailers`);
    const problem = of === "request" ? requestTrailerProblem(name, value) : undefined;
    if (problem !== undefined) throw new Malformed(problem);
  }
  return fields;
}

/** The announced length of a body; undefined: none. Throws Malformed. */
export function contentLength(fields: readonly Field[]): number | undefined {
  let length: string | undefined;
  for (const { lower, value } of fields) {
    if (lower !== "content-length") continue;
    if (length !== undefined && length !== value) throw new Malformed("two different content-length");
    length = value;
  }
  if (length === undefined) return undefined;
  if (!/^\d{1,15}$/.test(length)) throw new Malformed("content-length is not a number");
  return Number(length);
}

/** Fields of an HTTP/1 message that end at a proxy, in either direction. */
const ONE_HOP: ReadonlySet<string> = new Set([...CONNECTION_FIELDS, "proxy-authenticate", "proxy-authorization", "http2-settings", "host"]);

/** Fields as HTTP/2 writes them: lower-case names, nothing that is about one connection. `dropped`: what `Connection` names. */
export function writtenFields(fields: readonly Field[], dropped: ReadonlySet<string>): RawField[] {
  const written: RawField[] = [];
  for (const { lower, value } of fields) {
    if (ONE_HOP.has(lower) || dropped.has(lower) || (lower === "te" && value !== "trailers")) continue;
    written.push([lower, value]);
  }
  return written;
}
