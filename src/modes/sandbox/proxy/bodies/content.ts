import type { Field } from "../http1/fields.ts";
import { BodyError } from "./unreadable.ts";

/**
 * What rules about bodies cap `max_body_bytes` at: a body is read as a whole on the one thread that also serves every other connection, and
 * 4 MiB of JSON take it about 50 ms.
 */
export const MAX_PARSED_BODY_BYTES = 4_194_304;

/** A parameter of a media type, with its value in quotes or not. */
const PARAMETER = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("[^"\\]*"|[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*$/;

/**
 * Refuses what is not plain JSON in UTF-8 by its header fields: another media type (a form has a second reading), another charset, a
 * content coding. Compressed bodies are refused, not unpacked: what is decided on is what the server gets, byte for byte.
 * @throws BodyError
 */
export function requireJsonContent(fields: readonly Field[], types: ReadonlySet<string>): void {
  const coding = valuesOf(fields, "content-encoding").find((value) => value.toLowerCase() !== "identity");
  if (coding !== undefined)
    throw new BodyError(415, "content_encoding", "the body is compressed (Content-Encoding), and rules about bodies need it plain");
  const declared = valuesOf(fields, "content-type");
  const [type, ...more] = declared;
  if (type === undefined || more.length > 0)
    throw new BodyError(415, "content_type", `${declared.length} Content-Type fields, one of ${listed(types)} is needed`);
  const [media = "", ...parameters] = type.split(";");
  if (!types.has(media.trim().toLowerCase()))
    throw new BodyError(415, "content_type", `Content-Type is not ${listed(types)}, which is what rules about bodies can read`);
  requireUtf8(parameters);
}

function requireUtf8(parameters: readonly string[]): void {
  const seen = new Set<string>();
  for (const parameter of parameters) {
    const match = PARAMETER.exec(parameter);
    const name = match?.[1]?.toLowerCase() ?? "";
    if (match === null || seen.has(name)) throw new BodyError(415, "content_type", "the parameters of Content-Type have no single reading");
    seen.add(name);
    const value = (match[2] ?? "").replaceAll('"', "").toLowerCase();
    if (name === "charset" && value !== "utf-8") throw new BodyError(415, "charset", "the charset is not utf-8");
  }
}

function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(({ lower }) => lower === name).map(({ value }) => value);
}

function listed(types: ReadonlySet<string>): string {
  return [...types].join(" or ");
}
