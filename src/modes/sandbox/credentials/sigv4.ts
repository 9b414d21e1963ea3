import { createHash, createHmac } from "node:crypto";
import type { Field } from "../proxy/http1/fields.ts";

/** `Credential=<id>/<date>/<region>/<service>/aws4_request` without the id. */
export interface Scope {
  /** YYYYMMDD. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Everything of a request that a signature covers. */
export interface SignedParts {
  readonly method: string;
  /** As the server gets it. */
  readonly path: string;
  /** As the server gets it, without the signature itself. */
  readonly query: string | undefined;
  /** Those that are signed, `host` among them; any order, also repeated ones. */
  readonly fields: readonly Pick<Field, "lower" | "value">[];
  /** Hex SHA-256 of the body, or a word like `UNSIGNED-PAYLOAD`. */
  readonly payload: string;
}

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";
/** SHA-256 of nothing. */
export const EMPTY_PAYLOAD = sha256("");

/**
 * The signature of a request, hex ("Signature Version 4 signing process", AWS General Reference).
 * @param timestamp YYYYMMDDTHHMMSSZ
 */
export function signature(parts: SignedParts, keys: SigningKeys, scope: Scope, timestamp: string): string {
  const toSign = [ALGORITHM, timestamp, scopeText(scope), sha256(canonicalRequest(parts, scope.service))].join("\n");
  return signText(signingKey(keys, scope), toSign);
}

/** The key of one day, region and service. */
export function signingKey({ secretAccessKey }: SigningKeys, { date, region, service }: Scope): Buffer {
  let key: Buffer = Buffer.from(`AWS4${secretAccessKey}`);
  for (const step of [date, region, service, "aws4_request"]) key = createHmac("sha256", key).update(step).digest();
  return key;
}

/** Hex. */
export function signText(key: Buffer, toSign: string): string {
  return createHmac("sha256", key).update(toSign).digest("hex");
}

export function scopeText({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

/** Names of the signed fields, sorted, as `SignedHeaders` has them. */
export function signedNames(fields: SignedParts["fields"]): string {
  return [...new Set(fields.map(({ lower }) => lower))].sort().join(";");
}

/** The text whose hash is signed: the same for the same request, whatever the order and case of its parts. */
export function canonicalRequest({ method, path, query, fields, payload }: SignedParts, service: string): string {
  const values = new Map<string, string[]>();
  for (const { lower, value } of fields) {
    // Field values keep bytes as Latin-1; what is hashed are the bytes.
    const bytes = Buffer.from(value, "latin1").toString("utf8").trim().replace(/ +/g, " ");
    values.set(lower, [...(values.get(lower) ?? []), bytes]);
  }
  const names = [...values.keys()].sort();
  const lines = names.map((name) => `${name}:${values.get(name)?.join(",")}\n`);
  return [method, canonicalUri(path, service), canonicalQuery(query), lines.join(""), names.join(";"), payload].join("\n");
}

/** S3 takes the path as it is; all others escape it once more, percent signs as well, and without empty and dot segments. */
function canonicalUri(path: string, service: string): string {
  if (service === "s3" || service === "s3express") return encodedOnce(path);
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const normal = `/${kept.join("/")}${kept.length > 0 && path.endsWith("/") ? "/" : ""}`;
  return normal.replace(/[^A-Za-z0-9\-._~/]/g, percent);
}

/** Escapes what is not escaped yet. */
function encodedOnce(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}|[^A-Za-z0-9\-._~/]/g, (part) => (part.length === 3 ? part.toUpperCase() : percent(part)));
}

/** Sorted by escaped name, then by escaped value. */
function canonicalQuery(query: string | undefined): string {
  if (query === undefined || query === "") return "";
  const pairs = query.split("&").filter((pair) => pair !== "");
  const split = pairs.map((pair): readonly [string, string] => {
    const equals = pair.indexOf("=");
    return equals < 0 ? [recoded(pair), ""] : [recoded(pair.slice(0, equals)), recoded(pair.slice(equals + 1))];
  });
  return split
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** By code point, which for escaped text is by byte. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Decoded and escaped again, everything but unreserved characters. `+` is a blank, as servers read it. */
function recoded(text: string): string {
  const bytes = Buffer.from(
    text.replaceAll("+", " ").replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
  return bytes.toString("latin1").replace(/[^A-Za-z0-9\-._~]/g, percent);
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

export function sha256(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
