import { base64Spellings } from "./base64.ts";
import { hexValue } from "./encode.ts";
import { ALIAS_MARK, type Credential, type CredentialSet, PLACEHOLDER_PREFIX } from "./model.ts";

/** What policies and logs see instead of a placeholder. */
export const CREDENTIAL_MASK = "[CREDENTIAL]";

/** One placeholder in a text. */
export interface Placeholder {
  readonly start: number;
  readonly end: number;
  /** The name as written: of a variable, with the revision or handle that may stand before it. */
  readonly name: string;
  /** What stands before the mark of the provider-shaped form; undefined: the plain form. */
  readonly prefix: string | undefined;
}

const KEY = "[A-Za-z0-9_]{1,330}";
/** Without the prefix of the provider-shaped form: that is looked for backwards from here, so that each character is looked at once. */
const EXACT = new RegExp(`${PLACEHOLDER_PREFIX}(${KEY})|${ALIAS_MARK}(${KEY})`, "g");
/** In a canonical path only the colons can have two spellings. */
const IN_PATH = new RegExp(EXACT.source.replaceAll(":", "(?:%3A|:)"), "g");
const MAX_PREFIX = 64;
const IN_PREFIX = /[A-Za-z0-9_-]/;

/** Every placeholder of a decoded text, in order. */
export function placeholdersIn(text: string): Placeholder[] {
  return mayContain(text) ? found(text, EXACT) : [];
}

/** Every placeholder of a canonical path. */
export function placeholdersInPath(path: string): Placeholder[] {
  return mayContain(path) ? found(path, IN_PATH) : [];
}

function found(text: string, pattern: RegExp): Placeholder[] {
  const placeholders: Placeholder[] = [];
  let free = 0;
  for (const { 0: all, 1: plain, 2: shaped, index } of text.matchAll(pattern)) {
    const start = shaped === undefined ? index : startOfPrefix(text, index, free);
    const prefix = shaped === undefined ? undefined : text.slice(start, index);
    free = index + all.length;
    placeholders.push({ start, end: free, name: plain ?? shaped ?? "", prefix });
  }
  return placeholders;
}

/** Where the characters of a prefix in front of `end` begin; not before `from`. */
function startOfPrefix(text: string, end: number, from: number): number {
  const first = Math.max(from, end - MAX_PREFIX);
  let start = end;
  while (start > first && IN_PREFIX.test(text.charAt(start - 1))) start--;
  return start;
}

/** The text is exactly one placeholder. */
export function asPlaceholder(text: string): Placeholder | undefined {
  const [only] = placeholdersIn(text);
  return only !== undefined && only.start === 0 && only.end === text.length ? only : undefined;
}

/** Which credential a placeholder stands for, and where in the text it begins: an alias may stand directly behind other letters. */
export function resolve(
  placeholder: Placeholder,
  set: CredentialSet,
): { readonly credential: Credential; readonly start: number } | undefined {
  const credential = byName(placeholder.name, set);
  if (credential === undefined) return undefined;
  const { prefix, start } = placeholder;
  const { alias } = credential;
  if (prefix === undefined || alias === undefined || prefix.length <= alias.length) return { credential, start };
  return { credential, start: prefix.endsWith(alias) ? start + prefix.length - alias.length : start };
}

const REVISION = /^v\d{1,20}_(.+)$/;
const HANDLE = /^s([0-9a-f]{64})_(.+)$/;

/** `KEY`, `v<revision>_KEY` of programs started under an earlier revision, or `s<handle>_KEY`. */
function byName(name: string, set: CredentialSet): Credential | undefined {
  const exact = set.get(name);
  if (exact !== undefined) return exact;
  const [, handle, handled] = HANDLE.exec(name) ?? [];
  if (handled !== undefined) {
    const credential = set.get(handled);
    return credential?.handle === handle ? credential : undefined;
  }
  const revised = REVISION.exec(name)?.[1];
  return revised === undefined ? undefined : set.get(revised);
}

/** The text as policies and logs see it. */
export function masked(text: string, set: CredentialSet): string {
  return mayContain(text) ? hidden(text, placeholdersIn(text), set) : text;
}

/** A canonical path as policies and logs see it. */
export function maskedPath(path: string, set: CredentialSet): string {
  return mayContain(path) ? hidden(path, placeholdersInPath(path), set) : path;
}

function hidden(text: string, placeholders: readonly Placeholder[], set: CredentialSet): string {
  let out = "";
  let at = 0;
  for (const placeholder of placeholders) {
    out += text.slice(at, resolve(placeholder, set)?.start ?? placeholder.start) + CREDENTIAL_MASK;
    at = placeholder.end;
  }
  return out + text.slice(at);
}

/** Both marks have it in every spelling that is recognised exactly; one native search spares most texts the rest. */
function mayContain(text: string): boolean {
  return text.includes("resolve") || text.includes("RESOLVE");
}

const MARK = /openshell:resolve:env:|-openshell-resolve-env-/i;
/** How often a server may decode what it gets. */
const DECODING_ROUNDS = 3;
/** The marks inside base64, which has three spellings for each, as they stand after 0, 1 or 2 other bytes; in both cases. */
const MARKS = [PLACEHOLDER_PREFIX, ALIAS_MARK].flatMap((mark) => [mark.toLowerCase(), mark.toUpperCase()]);
const IN_BASE64 = new RegExp(MARKS.flatMap(base64Spellings).map(escaped).join("|"));

/** Any trace of a placeholder, whatever its case and encoding: percent, base64. */
export function hasTrace(text: string): boolean {
  if (isMarked(text)) return true;
  if (!text.includes("%")) return false;
  let bytes: Buffer = Buffer.from(text);
  for (let round = 0; round < DECODING_ROUNDS && bytes.includes(PERCENT); round++) {
    bytes = percentDecoded(bytes);
    if (isMarked(bytes.toString("latin1"))) return true;
  }
  return false;
}

function isMarked(text: string): boolean {
  return MARK.test(text) || IN_BASE64.test(text);
}

const PERCENT = 0x25;

/** Valid escapes as their bytes, in place; everything else stays. */
function percentDecoded(bytes: Buffer): Buffer {
  let size = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    const code = byte === PERCENT ? hexValue(bytes[at + 1]) * 16 + hexValue(bytes[at + 2]) : Number.NaN;
    if (!Number.isNaN(code)) at += 2;
    bytes[size++] = Number.isNaN(code) ? byte : code;
  }
  return bytes.subarray(0, size);
}

function escaped(literal: string): string {
  return literal.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
