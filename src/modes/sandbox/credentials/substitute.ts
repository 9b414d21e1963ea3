import type { Field } from "../proxy/http1/fields.ts";
import { type Destination, isBoundTo } from "./binding.ts";
import { headerBytes, pathSecretProblem, secretProblem, segmentEncoded, strictEncoded } from "./encode.ts";
import type { Credential, CredentialSet } from "./model.ts";
import { asPlaceholder, hasTrace, type Placeholder, placeholdersIn, placeholdersInPath, resolve } from "./placeholder.ts";
import { CredentialRefused } from "./refused.ts";
import type { Slot } from "./slot.ts";

/** The parts of a request head in which placeholders may stand. */
export interface Head {
  readonly method: string;
  /** Canonical where it has a placeholder. */
  readonly path: string;
  readonly query: string | undefined;
  readonly fields: readonly Field[];
}

/** What a placeholder may become, for one request. */
export interface Use {
  readonly set: CredentialSet;
  readonly destination: Destination;
  /** The server is reached over TLS and verified. */
  readonly secure: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The head with its secrets in place, and which credentials they are. */
export interface Substituted<T> {
  readonly value: T;
  readonly used: readonly Credential[];
}

/** Any trace of a placeholder in a head. */
export function hasPlaceholder({ method, path, query, fields }: Head): boolean {
  if (hasTrace(method) || hasTrace(path) || (query !== undefined && hasTrace(query))) return true;
  return fields.some(({ name, value }) => hasTrace(name) || hasTrace(value) || hasTrace(basicText(value) ?? ""));
}

/**
 * Puts secrets where their placeholders stand. Throws `CredentialRefused` for a placeholder that is unknown, not meant for this server, not
 * in its slot, or in any spelling but the exact one: then nothing of the request may be sent.
 */
export function substituteHead(head: Head, use: Use): Substituted<Head> {
  const used = new Set<Credential>();
  if (hasTrace(head.method)) throw misplaced(head.method, "method", use);
  const path = substitutePath(head.path, use, used);
  const query = head.query === undefined ? undefined : substituteQuery(head.query, use, used);
  const fields = head.fields.map((field) => substituteField(field, use, used));
  return { value: { method: head.method, path, query, fields }, used: [...used] };
}

/**
 * The credential behind a placeholder, when it may be used for this request at all.
 * @param accepts whether it may stand where it was found
 */
export function usable(placeholder: Placeholder, place: string, accepts: (slot: Slot) => boolean, use: Use): Credential {
  const credential = resolve(placeholder, use.set)?.credential;
  if (credential === undefined) throw unknown(placeholder);
  const { key, provider, secret, slots, expiresAt } = credential;
  if (!isBoundTo(credential, use.destination)) {
    const { host, port } = use.destination;
    throw new CredentialRefused(
      "credential_endpoint_mismatch",
      `credential ${key} of provider ${provider} is not for ${host}:${port} and this path`,
    );
  }
  if (!use.secure) throw new CredentialRefused("credential_insecure", `credential ${key} is sent over verified TLS only`);
  if (!slots.some(accepts)) {
    throw new CredentialRefused(
      "credential_misplaced",
      `credential ${key} may not stand in ${place}: its provider uses ${describe(slots)}`,
    );
  }
  if (expiresAt !== undefined && expiresAt <= use.now) throw new CredentialRefused("credential_expired", `credential ${key} has expired`);
  const problem = secretProblem(secret);
  if (problem !== undefined) throw new CredentialRefused("credential_unusable", `the value of credential ${key} ${problem}`);
  return credential;
}

function substituteField(field: Field, use: Use, used: Set<Credential>): Field {
  const { name, lower, value } = field;
  if (hasTrace(name)) throw misplaced(name, "the name of a header field", use);
  const [, scheme = "", rest = value] = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+) +(.*)$/.exec(value) ?? [];
  if (scheme.toLowerCase() === "basic") {
    const text = basicText(value);
    if (text !== undefined && hasTrace(text)) return { ...field, value: `${scheme} ${substituteBasic(text, lower, use, used)}` };
  }
  if (!hasTrace(value)) return field;
  const place = scheme === "" ? `the header ${lower}` : `the header ${lower} behind ${scheme}`;
  const placeholder = asPlaceholder(rest);
  if (placeholder === undefined) throw misplaced(value, `part of the header ${lower}`, use);
  const credential = usable(placeholder, place, (slot) => isHeader(slot, lower, scheme.toLowerCase()), use);
  used.add(credential);
  return { ...field, value: `${scheme === "" ? "" : `${scheme} `}${headerBytes(credential.secret)}` };
}

function isHeader(slot: Slot, name: string, scheme: string): boolean {
  return slot.kind === "header" && slot.name === name && slot.schemes.includes(scheme);
}

/** What is inside `Basic …`, as Latin-1; undefined when it is not base64. */
function basicText(value: string): string | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2})\s*$/i.exec(value)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString("latin1");
}

/** User and password, each made of a few parts; hundreds would be a way to keep others waiting. */
const MAX_IN_BASIC = 8;

function substituteBasic(text: string, header: string, use: Use, used: Set<Credential>): string {
  let out = "";
  let at = 0;
  const placeholders = placeholdersIn(text);
  if (placeholders.length > MAX_IN_BASIC)
    throw new CredentialRefused(
      "credential_misplaced",
      `${placeholders.length} placeholders stand inside Basic, at most ${MAX_IN_BASIC} are replaced`,
    );
  for (const placeholder of placeholders) {
    const credential = usable(placeholder, `the header ${header} inside Basic`, (slot) => isHeader(slot, header, "basic"), use);
    used.add(credential);
    const start = resolve(placeholder, use.set)?.start ?? placeholder.start;
    out += literal(text.slice(at, start), `the header ${header} inside Basic`, use) + headerBytes(credential.secret);
    at = placeholder.end;
  }
  out += literal(text.slice(at), `the header ${header} inside Basic`, use);
  return Buffer.from(out, "latin1").toString("base64");
}

/** Text between placeholders: no trace of another may be left in it. */
function literal(text: string, place: string, use: Use): string {
  if (hasTrace(text)) throw misplaced(text, place, use);
  return text;
}

function substituteQuery(query: string, use: Use, used: Set<Credential>): string {
  if (!hasTrace(query)) return query;
  return query
    .split("&")
    .map((pair) => {
      if (!hasTrace(pair)) return pair;
      const equals = pair.indexOf("=");
      const name = decoded(equals < 0 ? pair : pair.slice(0, equals));
      const value = equals < 0 ? undefined : decoded(pair.slice(equals + 1));
      const placeholder = value === undefined ? undefined : asPlaceholder(value);
      if (name === undefined || placeholder === undefined || hasTrace(name))
        throw misplaced(decoded(pair) ?? pair, "part of the query", use);
      const credential = usable(placeholder, "this query parameter", (slot) => slot.kind === "query" && slot.name === name, use);
      used.add(credential);
      return `${pair.slice(0, equals)}=${strictEncoded(credential.secret)}`;
    })
    .join("&");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function substitutePath(path: string, use: Use, used: Set<Credential>): string {
  if (!hasTrace(path)) return path;
  const [placeholder, ...others] = placeholdersInPath(path);
  if (placeholder === undefined || others.length > 0) throw misplaced(path, "part of the path", use);
  const start = resolve(placeholder, use.set)?.start ?? placeholder.start;
  const before = literal(path.slice(0, start), "part of the path", use);
  const after = literal(path.slice(placeholder.end), "part of the path", use);
  const credential = usable(placeholder, "this path", (slot) => slot.kind === "path" && templateMatches(slot.template, before, after), use);
  const problem = pathSecretProblem(credential.secret);
  if (problem !== undefined) throw new CredentialRefused("credential_unusable", `the value of credential ${credential.key} ${problem}`);
  used.add(credential);
  return `${before}${segmentEncoded(credential.secret)}${after}`;
}

/** Where the placeholder stands in a path template. */
export const TEMPLATE_MARK = "{credential}";

/** Whether a template with one `{credential}` describes the path around the placeholder. */
function templateMatches(template: string, before: string, after: string): boolean {
  const [head, tail, ...more] = template.split(TEMPLATE_MARK);
  return head !== undefined && tail !== undefined && more.length === 0 && side(head).test(before) && side(tail).test(after);
}

function side(pattern: string): RegExp {
  const open = pattern.endsWith("/**");
  const source = (open ? pattern.slice(0, -3) : pattern).replace(/[.+?^${}()|[\]\\/]/g, "\\$&").replace(/\*+/g, "[^/]*");
  return new RegExp(`^${source}${open ? "(?:/.*)?" : ""}$`);
}

function misplaced(text: string, place: string, { set }: Use): CredentialRefused {
  const [placeholder] = placeholdersIn(text);
  if (placeholder === undefined)
    return new CredentialRefused("credential_misplaced", `a placeholder stands in ${place}, in a spelling that is not replaced`);
  const credential = resolve(placeholder, set)?.credential;
  if (credential === undefined) return unknown(placeholder);
  const { key, slots } = credential;
  return new CredentialRefused("credential_misplaced", `credential ${key} may not stand in ${place}: its provider uses ${describe(slots)}`);
}

function unknown({ name }: Placeholder): CredentialRefused {
  return new CredentialRefused("credential_unknown", `no credential ${name.slice(0, MAX_NAME_SHOWN)} is attached to this sandbox`);
}

/** Characters of a name that a program made up. */
const MAX_NAME_SHOWN = 64;

function describe(slots: readonly Slot[]): string {
  if (slots.length === 0) return "no place in requests";
  const places = slots.map((slot) => {
    if (slot.kind === "query") return `the query parameter ${slot.name}`;
    if (slot.kind === "path") return `the path ${slot.template}`;
    if (slot.kind === "sigv4") return "AWS signatures";
    const schemes = slot.schemes.filter((scheme) => scheme !== "");
    return `the header ${slot.name}${schemes.length > 0 ? ` (${schemes.join(", ")})` : ""}`;
  });
  return places.join(", ");
}
