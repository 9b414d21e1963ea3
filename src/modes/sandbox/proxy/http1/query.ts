import { HeadError } from "./refused.ts";

/** Pairs of one query; the byte limit of the head alone would admit thousands of empty ones. */
export const MAX_QUERY_PAIRS = 512;

export const AMPERSAND_OR_SEMICOLON: RegExp = /[&;]/;

/**
 * Names and all their values, in order, as a form-decoding server reads them: `&` separates, `+` is a blank. Throws (400) on a bad escape or
 * on bytes that are not UTF-8, which servers read differently.
 * @param separator `;` as well, as older servers read it (CGI, Rack before 3, Python before 3.9.2)
 */
export function readQuery(query: string, separator: string | RegExp = "&"): Readonly<Record<string, readonly string[]>> {
  const values: Record<string, string[]> = Object.create(null);
  if (query === "") return values;
  const pairs = query.split(separator);
  if (pairs.length > MAX_QUERY_PAIRS)
    throw new HeadError(400, "query", `${pairs.length} query parameters, at most ${MAX_QUERY_PAIRS} are accepted`);
  for (const pair of pairs) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const known = values[name] ?? [];
    known.push(equals < 0 ? "" : decode(pair.slice(equals + 1)));
    values[name] = known;
  }
  return values;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new HeadError(400, "query", "query that is not percent-encoded UTF-8");
  }
}
