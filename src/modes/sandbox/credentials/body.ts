import { formEncoded, hexValue, jsonEncoded } from "./encode.ts";
import type { Credential } from "./model.ts";
import { hasTrace, placeholdersIn, resolve } from "./placeholder.ts";
import { CredentialRefused } from "./refused.ts";
import type { Slot } from "./slot.ts";
import { type Substituted, type Use, usable } from "./substitute.ts";

/** Largest body in which placeholders are replaced: it is kept in memory whole. Bytes. */
export const MAX_REWRITTEN_BODY = 262_144;

/**
 * Placeholders that are replaced in one body or message. Programs send one or two; thousands would take seconds of everybody's, and make hundreds of
 * megabytes of long secrets.
 */
export const MAX_REPLACED_PLACEHOLDERS = 256;

/** Kinds of bodies in which placeholders are replaced. */
export type BodyKind = "json" | "form" | "text";

/** Which kind a body is by its `Content-Type`; undefined: one that passes unread. */
export function bodyKind(contentType: string | undefined): BodyKind | undefined {
  const type = contentType?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "application/x-www-form-urlencoded") return "form";
  if (type === "application/json" || /^application\/[a-z0-9.!#$&^_-]+\+json$/.test(type)) return "json";
  return type.startsWith("text/") ? "text" : undefined;
}

/** Why placeholders in such a body cannot be replaced, or undefined. */
export function unreadableBody(contentType: string | undefined, contentEncoding: string | undefined): string | undefined {
  const coding = contentEncoding?.trim().toLowerCase() ?? "";
  if (coding !== "" && coding !== "identity")
    return `the body is encoded (${coding.slice(0, 32)}): send it plain, so that placeholders can be replaced`;
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType ?? "")?.[1]?.toLowerCase() ?? "utf-8";
  return ["utf-8", "utf8", "us-ascii"].includes(charset) ? undefined : `the body is not UTF-8: placeholders cannot be replaced in it`;
}

/**
 * Puts secrets where their placeholders stand in a body, escaped as the kind of body asks for. Throws `CredentialRefused` when a placeholder would
 * be left: nothing of the request may be sent then.
 */
export function substituteBody(body: Buffer, kind: BodyKind, use: Use): Substituted<Buffer> {
  const text = body.toString("utf8");
  if (!Buffer.from(text).equals(body)) {
    if (hasTrace(body.toString("latin1"))) throw refused("a placeholder stands in a body that is not UTF-8");
    return { value: body, used: [] };
  }
  const { value, used } = kind === "form" ? substituteForm(text, use) : substituteText(text, use, kind === "json");
  return { value: used.length === 0 ? body : Buffer.from(value), used };
}

/** Puts secrets into a text message: a JSON one is one that can be read as JSON. Throws as `substituteBody`. */
export function substituteMessage(message: string, use: Use): Substituted<string> {
  return substituteText(message, use, /^\s*[[{"]/.test(message) && isJson(message));
}

const ANY_SLOT = ({ kind }: Slot) => kind !== "sigv4";

function substituteText(text: string, use: Use, json: boolean): Substituted<string> {
  if (json) checkEscapes(text);
  return replaced(text, json ? jsonEncoded : (secret) => secret, use);
}

/** What an escape in a JSON string hides is found by reading it. */
function checkEscapes(text: string): void {
  if (!text.includes("\\")) return;
  const strings = unescaped(text);
  if (placeholdersIn(strings).length !== placeholdersIn(text).length || (hasTrace(strings) && !hasTrace(text)))
    throw refused("a placeholder stands in the body with escapes in it");
}

/** The text with what `\\u` and `\\/` stand for, as in JSON strings. */
function unescaped(text: string): string {
  const units = Buffer.from(text, "utf16le");
  let size = 0;
  for (let at = 0; at < text.length; at++) {
    let unit = text.charCodeAt(at);
    const next = unit === BACKSLASH ? text.charCodeAt(at + 1) : 0;
    const meant = next === LETTER_U ? hex(text, at + 2) : next === SLASH ? SLASH : Number.NaN;
    if (!Number.isNaN(meant)) {
      unit = meant;
      at += next === LETTER_U ? 5 : 1;
    }
    size = units.writeUInt16LE(unit, size);
  }
  return units.toString("utf16le", 0, size);
}

const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const LETTER_U = 0x75;

/** Four hexadecimal digits; NaN: they are not. */
function hex(text: string, at: number): number {
  let value = 0;
  for (let digit = 0; digit < 4; digit++) value = value * 16 + hexValue(text.charCodeAt(at + digit));
  return value;
}

function replaced(text: string, encode: (secret: string) => string, use: Use): Substituted<string> {
  const used = new Set<Credential>();
  let out = "";
  let at = 0;
  const placeholders = placeholdersIn(text);
  checkCount(placeholders.length);
  for (const placeholder of placeholders) {
    const credential = usable(placeholder, "the body", ANY_SLOT, use);
    used.add(credential);
    const start = resolve(placeholder, use.set)?.start ?? placeholder.start;
    out += literal(text.slice(at, start)) + encode(credential.secret);
    at = placeholder.end;
  }
  return { value: out + literal(text.slice(at)), used: [...used] };
}

function checkCount(count: number): void {
  if (count > MAX_REPLACED_PLACEHOLDERS)
    throw refused(`${count} placeholders stand in the body, at most ${MAX_REPLACED_PLACEHOLDERS} are replaced`);
}

function literal(text: string): string {
  if (hasTrace(text)) throw refused("a placeholder stands in the body, in a spelling that is not replaced");
  return text;
}

function substituteForm(text: string, use: Use): Substituted<string> {
  const used: Credential[] = [];
  let count = 0;
  const pairs = text.split("&").map((pair) => {
    if (!hasTrace(pair)) return pair;
    const equals = pair.indexOf("=");
    if (equals < 0 || hasTrace(pair.slice(0, equals))) throw refused("a placeholder is the name of a form field");
    const decoded = formDecoded(pair.slice(equals + 1));
    count += placeholdersIn(decoded).length;
    checkCount(count);
    const value = replaced(decoded, (secret) => secret, use);
    used.push(...value.used);
    return `${pair.slice(0, equals)}=${formEncoded(value.value)}`;
  });
  return { value: pairs.join("&"), used };
}

function formDecoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw refused("a placeholder stands in a form field that is not percent-encoded UTF-8");
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function refused(reason: string): CredentialRefused {
  return new CredentialRefused("credential_body", reason);
}
