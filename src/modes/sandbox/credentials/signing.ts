import type { Field } from "../proxy/http1/fields.ts";
import { HOP_BY_HOP } from "../proxy/http1/hop-by-hop.ts";
import type { Credential } from "./model.ts";
import { asPlaceholder, hasTrace } from "./placeholder.ts";
import { CredentialRefused } from "./refused.ts";
import { SignedChunks } from "./signed-chunks.ts";
import { ALGORITHM, EMPTY_PAYLOAD, type Scope, scopeText, sha256, signature, signedNames, signingKey, UNSIGNED_PAYLOAD } from "./sigv4.ts";
import type { SigningSlot } from "./slot.ts";
import { type Head, type Substituted, substituteHead, type Use, usable } from "./substitute.ts";

/** Largest body that is kept to hash it. AWS services other than S3 take at most 10 MiB in one request, most of them less. Bytes. */
export const MAX_SIGNED_BODY = 8 * 1024 * 1024;

/** `credential_signing` and its companions of an endpoint. */
export interface SigningSettings {
  readonly mode: "sigv4" | "sigv4:body" | "sigv4:no_body";
  readonly service: string;
  /** Empty: the region that the program signed for. */
  readonly region: string;
}

/** Where the signature of a request is: made inside with placeholders, so it has to be made again here. */
export type SignedWith = "header" | "query";

const AUTHORIZATION = /^AWS4-HMAC-SHA256\s+Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=[0-9a-fA-F]*\s*$/;
/** Chunks with signatures of their own, each made with the placeholder of the key. */
const SIGNED_CHUNKS = /^STREAMING-AWS4-HMAC-SHA256-PAYLOAD(-TRAILER)?$/;
const HASH = /^[0-9a-f]{64}$/;
const CONTENT_HASH = "x-amz-content-sha256";
/** A presigned request is sent at once; its signature need not live longer. Seconds. */
const PRESIGNED_SECONDS = 900;
/** What the program's HTTP client and we may change on the way: not signed. */
const UNSIGNED: ReadonlySet<string> = new Set([...HOP_BY_HOP, "authorization", "expect", "trailer", "transfer-encoding", "host"]);

/** How a request is signed with a placeholder; undefined: it is not, and passes as it is. */
export function signedWith({ query, fields }: Head): SignedWith | undefined {
  const header = fields.find(({ lower }) => lower === "authorization")?.value ?? "";
  if (/^AWS4-/i.test(header) && hasTrace(header)) return "header";
  const credential = pairs(query).find(({ name }) => name === "x-amz-credential")?.value ?? "";
  return hasTrace(credential) ? "query" : undefined;
}

/**
 * What stands for the body in the signature; undefined: the body itself has to be hashed, up to `MAX_SIGNED_BODY`. Throws on what cannot be signed
 * again.
 */
export function payloadOf(head: Head, by: SignedWith, { mode, service }: SigningSettings, hasBody: boolean): string | undefined {
  const declared = head.fields.find(({ lower }) => lower === CONTENT_HASH)?.value ?? "";
  if (by === "header" && SIGNED_CHUNKS.test(declared)) return declared;
  if (declared.startsWith("STREAMING-AWS4-"))
    throw refused(`the body comes as ${declared.slice(0, 64)}, which cannot be signed again: turn it off in the program`);
  // What a program says of its own chunks stays; no key has a part in it.
  if (declared.startsWith("STREAMING-UNSIGNED-PAYLOAD")) return declared;
  if (mode === "sigv4:no_body") return UNSIGNED_PAYLOAD;
  if (!hasBody) return by === "query" && service === "s3" ? UNSIGNED_PAYLOAD : EMPTY_PAYLOAD;
  if (mode === "sigv4:body") return undefined;
  if (by === "query" && service === "s3") return UNSIGNED_PAYLOAD;
  return declared === UNSIGNED_PAYLOAD || HASH.test(declared) ? declared : undefined;
}

/** A request as the server gets it, and what signs its body as it passes. */
export interface Signed extends Substituted<Head> {
  readonly body?: SignedChunks;
}

/**
 * Signs a request again with the keys that its placeholders stand for, and puts in place whatever other credentials it has.
 * @param host the `Host` that the server gets
 * @param payload from `payloadOf`, or the body
 */
export function sign(head: Head, by: SignedWith, settings: SigningSettings, payload: string | Buffer, host: string, use: Use): Signed {
  const used = new Set<Credential>();
  const hash = typeof payload === "string" ? payload : sha256(payload);
  const result =
    by === "header" ? signFields(head, settings, hash, host, use, used) : { value: signQuery(head, settings, hash, host, use, used) };
  return { ...result, used: [...used] };
}

function signFields(
  head: Head,
  settings: SigningSettings,
  payload: string,
  host: string,
  use: Use,
  used: Set<Credential>,
): Omit<Signed, "used"> {
  const { fields } = head;
  const [authorization, ...others] = fields.filter(({ lower }) => lower === "authorization");
  const [, credential = "", names = ""] = AUTHORIZATION.exec(authorization?.value ?? "") ?? [];
  if (credential === "" || others.length > 0) throw refused("the Authorization field is not one of AWS Signature Version 4");
  const asked = new Set(names.toLowerCase().split(";"));
  const { keys, session, scope } = keysFor(credential, settings, use, used);
  const timestamp = now(use);
  const own = new Map([["x-amz-date", timestamp]]);
  if (session !== undefined) own.set("x-amz-security-token", session);
  if (fields.some(({ lower }) => lower === CONTENT_HASH) || settings.service === "s3") own.set(CONTENT_HASH, payload);
  checkToken(fields.find(({ lower }) => lower === "x-amz-security-token")?.value, session);
  const rest = fields.filter(({ lower }) => lower !== "authorization" && !own.has(lower));
  const substituted = substituteHead({ ...head, fields: rest }, use);
  for (const one of substituted.used) used.add(one);
  const whole = [...substituted.value.fields, ...[...own].map(([name, value]): Field => ({ name, lower: name, value }))];
  const signed = [{ lower: "host", value: host }, ...whole.filter(({ lower }) => isSigned(lower, asked))];
  const made = signature({ ...substituted.value, fields: signed, payload }, keys, scope, timestamp);
  const value = `${ALGORITHM} Credential=${keys.accessKeyId}/${scopeText(scope)}, SignedHeaders=${signedNames(signed)}, Signature=${made}`;
  const signedHead = { ...substituted.value, fields: [...whole, { name: "Authorization", lower: "authorization", value }] };
  const chunks = SIGNED_CHUNKS.exec(payload);
  if (chunks === null) return { value: signedHead };
  const trailer = chunks[1] !== undefined;
  return { value: signedHead, body: new SignedChunks({ key: signingKey(keys, scope), scope, timestamp, seed: made, trailer }) };
}

/** What the program signed, and all of AWS's own fields. */
function isSigned(lower: string, asked: ReadonlySet<string>): boolean {
  return !UNSIGNED.has(lower) && (asked.has(lower) || lower.startsWith("x-amz-"));
}

const PRESIGNED = new Set([
  ...["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders"],
  ...["x-amz-signature", "x-amz-security-token"],
]);

function signQuery(head: Head, settings: SigningSettings, payload: string, host: string, use: Use, used: Set<Credential>): Head {
  const all = pairs(head.query);
  const value = (name: string) => all.find((pair) => pair.name === name)?.value;
  if (value("x-amz-algorithm") !== ALGORITHM) throw refused("the query is not one of AWS Signature Version 4");
  const { keys, session, scope } = keysFor(value("x-amz-credential") ?? "", settings, use, used);
  checkToken(value("x-amz-security-token"), session);
  const rest = all.filter(({ name }) => !PRESIGNED.has(name)).map(({ text }) => text);
  const substituted = substituteHead({ ...head, query: rest.join("&") }, use);
  for (const one of substituted.used) used.add(one);
  const asked = new Set((value("x-amz-signedheaders") ?? "").toLowerCase().split(";"));
  const signed = [{ lower: "host", value: host }, ...substituted.value.fields.filter(({ lower }) => isSigned(lower, asked))];
  const timestamp = now(use);
  const expires = Math.min(Number(value("x-amz-expires")) || PRESIGNED_SECONDS, PRESIGNED_SECONDS);
  const own: (readonly [string, string])[] = [
    ["X-Amz-Algorithm", ALGORITHM],
    ["X-Amz-Credential", `${keys.accessKeyId}/${scopeText(scope)}`],
    ["X-Amz-Date", timestamp],
    ["X-Amz-Expires", String(expires)],
    ...(session === undefined ? [] : [["X-Amz-Security-Token", session] as const]),
    ["X-Amz-SignedHeaders", signedNames(signed)],
  ];
  const query = [
    ...(rest.length > 0 ? [substituted.value.query] : []),
    ...own.map(([name, text]) => `${name}=${encodeURIComponent(text)}`),
  ].join("&");
  const made = signature({ ...substituted.value, query, fields: signed, payload }, keys, scope, timestamp);
  return { ...substituted.value, query: `${query}&X-Amz-Signature=${made}` };
}

interface Keys {
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly session: string | undefined;
  readonly scope: Scope;
}

/** The keys of the provider whose access key the request names, and what the signature is for. */
function keysFor(credential: string, { service, region }: SigningSettings, use: Use, used: Set<Credential>): Keys {
  const slash = credential.indexOf("/");
  const [, signedRegion = "", , end, ...more] = credential.slice(slash + 1).split("/");
  const placeholder = slash < 0 ? undefined : asPlaceholder(credential.slice(0, slash));
  if (placeholder === undefined || end !== "aws4_request" || more.length > 0)
    throw refused("the credential of the signature is not PLACEHOLDER/date/region/service/aws4_request");
  const here: Use = { ...use, destination: { ...use.destination, signs: true } };
  const access = usable(placeholder, "an AWS signature", isPart("access_key_id"), here);
  const part = (wanted: SigningSlot["part"]): Credential | undefined => {
    const found = [...use.set.values()].find(({ provider, slots }) => provider === access.provider && slots.some(isPart(wanted)));
    return found && usable({ start: 0, end: 0, name: found.key, prefix: undefined }, "an AWS signature", isPart(wanted), here);
  };
  const secret = part("secret_access_key");
  if (secret === undefined) throw refused(`provider ${access.provider} has no secret access key`);
  const session = part("session_token");
  for (const one of [access, secret, session]) if (one !== undefined) used.add(one);
  const named = region || signedRegion;
  if (!/^[a-z0-9-]{1,64}$/.test(named)) throw refused("the region of the signature is not one");
  return {
    keys: { accessKeyId: access.secret, secretAccessKey: secret.secret },
    session: session?.secret,
    scope: { date: now(use).slice(0, 8), region: named, service },
  };
}

const isPart = (part: SigningSlot["part"]) => (slot: { readonly kind: string; readonly part?: string }) =>
  slot.kind === "sigv4" && slot.part === part;

/** A token that the program sends is replaced by the provider's; one for which there is none would be sent as it is. */
function checkToken(sent: string | undefined, session: string | undefined): void {
  if (sent !== undefined && session === undefined) throw refused("the request has a session token, and the provider has none");
}

/** YYYYMMDDTHHMMSSZ. The moment of sending, not the one that the program claims. */
function now({ now: milliseconds }: Use): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d{3}/g, "");
}

/** Pairs of a query: as they are, and decoded with the name in lower case. */
function pairs(query: string | undefined): { readonly text: string; readonly name: string; readonly value: string }[] {
  if (query === undefined || query === "") return [];
  return query.split("&").map((text) => {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    return { text, name: decoded(name).toLowerCase(), value: equals < 0 ? "" : decoded(text.slice(equals + 1)) };
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function refused(reason: string): CredentialRefused {
  return new CredentialRefused("credential_signing", reason);
}
