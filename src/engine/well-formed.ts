import type { ConnectionQuery, HttpFacts, QueryFacts, RequestFacts, WebSocketTextFacts } from "./decision.ts";

/** Parents of one program; deeper chains are cut by the identity step, so more means a fault. */
export const MAX_ANCESTORS = 64;
/** Bytes of one path (PATH_MAX, include/uapi/linux/limits.h) and of one host name (RFC 1035, without the root dot). */
const MAX_PATH = 4096;
const MAX_HOST = 253;
/**
 * UTF-16 units of a program with its ancestors. Real chains stay below 2,000; at 256 KiB one decision among hundreds of patterns takes 0.1 s, which an
 * agent could ask for again and again.
 */
const MAX_CHAIN = 16_384;
/** A method is a word; the longest registered one (UPDATEREDIRECTREF) has 17 letters. */
const MAX_METHOD = 64;
/** Segments of one path. Patterns with several `**` try every position; real paths have tens. */
const MAX_SEGMENTS = 256;
/** UTF-16 units of all names and values of a query: a head has at most 16,384 bytes. */
const MAX_QUERY = 16_384;
/** Names and values of what bodies ask for; the bodies are limited before they are parsed. */
const MAX_BODY_TEXT = 65_536;
/** Operations or calls of one body. Clients batch tens. */
const MAX_BATCH = 256;

/** Lone surrogates abort the wasm, and a non-UTF-8 path must never be allowed; lengths bound the memory of one decision. */
export function isConnectionQuery({ host, port, exe, ancestors }: ConnectionQuery): boolean {
  return (
    isText(host, MAX_HOST) &&
    Number.isInteger(port) &&
    isText(exe, MAX_PATH) &&
    Array.isArray(ancestors) &&
    ancestors.length <= MAX_ANCESTORS &&
    ancestors.every((path) => isText(path, MAX_PATH)) &&
    ancestors.reduce((total, path) => total + path.length, exe.length) <= MAX_CHAIN
  );
}

/** The same for a request. What the fields mean is checked by the rules, which refuse what they do not know. */
export function isRequest(facts: RequestFacts): boolean {
  switch (facts?.kind) {
    case "http":
      return isToken(facts.method) && isTarget(facts.path) && areQueries(facts) && isBatch(facts.graphql ?? []) && isBatch(facts.rpc ?? []);
    case "websocket_text":
      return isTarget(facts.path) && areQueries(facts) && isBatch(facts.graphql ?? []);
    case "sql":
      return isText(facts.command, MAX_METHOD);
    default:
      return false;
  }
}

/** U+FFFD is what decoding leaves of bytes that are not UTF-8; NUL ends strings in the kernel and in the wasm. */
function isText(value: unknown, limit: number): boolean {
  return typeof value === "string" && value.length <= limit && value.isWellFormed() && !value.includes("\0") && !value.includes("\ufffd");
}

/** RFC 9110 5.6.2. */
function isToken(value: unknown): boolean {
  return isText(value, MAX_METHOD) && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value as string);
}

/** Printable ASCII: the canonical path escapes everything else. */
function isTarget(value: unknown): boolean {
  return isText(value, MAX_PATH) && /^[\x21-\x7e]+$/.test(value as string) && (value as string).split("/").length <= MAX_SEGMENTS + 1;
}

function areQueries({ query, splitQuery = {} }: HttpFacts | WebSocketTextFacts): boolean {
  return isQuery(query) && isQuery(splitQuery);
}

/** Decoded values may hold any character, NUL included, which no pattern means: they are refused like other broken text. */
function isQuery(query: QueryFacts): boolean {
  if (typeof query !== "object" || query === null) return false;
  let total = 0;
  for (const [name, values] of Object.entries(query)) {
    if (!Array.isArray(values) || !isText(name, MAX_QUERY)) return false;
    total += name.length;
    for (const value of values) {
      if (!isText(value, MAX_QUERY)) return false;
      total += value.length;
    }
  }
  return total <= MAX_QUERY;
}

/** Items are flat: text, lists of text, `true`. */
function isBatch(items: readonly unknown[]): boolean {
  if (!Array.isArray(items) || items.length > MAX_BATCH) return false;
  const text = JSON.stringify(items);
  return text.length <= MAX_BODY_TEXT && items.every((item) => Object.values(item ?? {}).every(isBodyValue));
}

function isBodyValue(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((inner) => isText(inner, MAX_BODY_TEXT));
  return value === true || isText(value, MAX_BODY_TEXT);
}
