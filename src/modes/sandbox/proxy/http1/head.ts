import { type Authority, readAuthority } from "./authority.ts";
import { checkNominated } from "./connection-options.ts";
import { checkUtf8, type Field, readFields } from "./fields.ts";
import { type BodyFraming, readFraming } from "./framing.ts";
import { HeadError, type Refusal } from "./refused.ts";

/** One request head. 8 KiB is what squid and nginx accept by default; clients that exceed it are probing. */
export const MAX_HEAD_BYTES = 8192;
/** Fields of one head. 100 is what Apache accepts; the byte limit alone would admit 2,700 empty ones. */
export const MAX_FIELDS = 100;

/** A request that the explicit proxy accepts. */
export type RequestHead = ConnectHead | ForwardHead;

export interface ConnectHead {
  readonly kind: "connect";
  readonly authority: Authority;
}

/** Absolute-form `http://`. */
export interface ForwardHead {
  readonly kind: "forward";
  readonly method: string;
  readonly authority: Authority;
  /** Origin-form target: path and query, or `*`. */
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly fields: readonly Field[];
  readonly body: BodyFraming;
}

export type HeadResult =
  /** More bytes are needed. */
  | { readonly kind: "incomplete" }
  /** `size`: bytes of the head; what follows is the body or the tunnel. */
  | { readonly kind: "request"; readonly head: RequestHead; readonly size: number }
  | ({ readonly kind: "refused" } & Refusal);

const INCOMPLETE: HeadResult = { kind: "incomplete" };
const LF = 10;
const CR = 13;
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^ ]+) HTTP\/(\d)\.(\d)$/;
const HTTP_SCHEME = /^http:\/\//i;
const ANY_SCHEME = /^[a-z][a-z0-9+.-]*:/i;
/** Visible ASCII without a fragment, and without the backslash, which some parsers read as a slash. */
export const ORIGIN_FORM = /^[\x21\x22\x24-\x5b\x5d-\x7e]*$/;

/**
 * Reads one request head from the start of `bytes`. Owns no socket and no clock: call it again with everything received so far until it
 * is not `incomplete`. Whatever two HTTP implementations could read differently is refused (RFC 9112 sections 2.2, 3.2, 5, 6.3).
 */
export function readHead(bytes: Buffer): HeadResult {
  try {
    const size = headSize(bytes, MAX_HEAD_BYTES);
    if (size === undefined) return INCOMPLETE;
    return { kind: "request", head: parse(bytes.toString("latin1", 0, size - 4)), size };
  } catch (reason) {
    if (reason instanceof HeadError) return { kind: "refused", ...reason.refusal };
    throw reason;
  }
}

/** Bytes up to and including the empty line; undefined: not there yet. Throws on a line that does not end in CRLF and on a head too large. */
export function headSize(bytes: Buffer, maximum: number): number | undefined {
  const limit = Math.min(bytes.length, maximum);
  let lineStart = 0;
  for (;;) {
    const lf = bytes.indexOf(LF, lineStart);
    if (lf < 0 || lf >= limit) break;
    if (lf === 0 || bytes[lf - 1] !== CR) throw new HeadError(400, "bare_lf", "line that does not end in CRLF");
    if (lf - lineStart === 1) {
      if (lineStart === 0) throw new HeadError(400, "empty_line", "empty line before the request");
      return lf + 1;
    }
    lineStart = lf + 1;
  }
  if (bytes.length >= maximum)
    throw new HeadError(431, "head_too_large", `request head is larger than the ${maximum} bytes that are accepted`);
  return undefined;
}

function parse(text: string): RequestHead {
  const { method, target, version, fields } = readRequestParts(text);
  if (method === "CONNECT") return connect(target, version, fields);
  return forward(method, target, version, fields);
}

/** Request line and fields, before anything is made of the target. */
export interface RequestParts {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly fields: readonly Field[];
}

/** Splits a head (without its empty line). Throws on whatever is not one. */
export function readRequestParts(text: string): RequestParts {
  const end = text.indexOf("\r\n");
  const line = end < 0 ? text : text.slice(0, end);
  const match = REQUEST_LINE.exec(line);
  if (match === null) throw badRequestLine(line);
  const [, method = "", target = "", major, minor] = match;
  if (major !== "1" || (minor !== "0" && minor !== "1"))
    throw new HeadError(505, "http_version", `HTTP/${major}.${minor} is not spoken here`);
  const version = minor === "1" ? "1.1" : "1.0";
  const fields = end < 0 ? "" : text.slice(end + 2);
  checkUtf8(fields);
  return { method: canonicalMethod(method), target, version, fields: end < 0 ? [] : readFields(fields, MAX_FIELDS) };
}

/**
 * The one spelling of a method that is decided on and sent on. Rules do not look at its case; servers do (Node refuses `get`) or do not (squid
 * takes `trace` for TRACE), so it is gone before either.
 */
export function canonicalMethod(method: string): string {
  return method.toUpperCase();
}

function badRequestLine(line: string): HeadError {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
  if (/[\x00-\x1f\x7f]/.test(line)) return new HeadError(400, "control_byte", "control byte in the request line");
  if (/ HTTP\/\d+(\.\d+)?$/.test(line) && !/ HTTP\/\d\.\d$/.test(line))
    return new HeadError(505, "http_version", "HTTP version is not spoken here");
  return new HeadError(400, "request_line", "request line is not METHOD TARGET HTTP/1.1");
}

function connect(target: string, version: string, fields: readonly Field[]): ConnectHead {
  const authority = authorityOf(target);
  checkHost(authority, undefined, version, fields);
  const body = readFraming(version, fields);
  if (body.kind === "chunked" || (body.kind === "length" && body.length > 0))
    throw new HeadError(400, "connect_body", "CONNECT with a body");
  return { kind: "connect", authority };
}

function forward(method: string, target: string, version: "1.0" | "1.1", fields: readonly Field[]): ForwardHead {
  if (!HTTP_SCHEME.test(target)) throw otherTarget(target);
  const rest = target.slice("http://".length);
  const cut = rest.search(/[/?#]/);
  const authority = authorityOf(cut < 0 ? rest : rest.slice(0, cut), 80);
  const origin = originForm(method, cut < 0 ? "" : rest.slice(cut));
  checkHost(authority, 80, version, fields);
  checkNominated(fields);
  if (method === "TRACE") throw new HeadError(405, "trace", "TRACE echoes credentials back and is refused");
  return { kind: "forward", method, authority, target: origin, version, fields, body: readFraming(version, fields) };
}

function otherTarget(target: string): HeadError {
  if (/^https:/i.test(target)) return new HeadError(400, "use_connect", "Use CONNECT for HTTPS URLs");
  if (target.startsWith("/") || target === "*")
    return new HeadError(400, "not_a_proxy_request", "this is a proxy: send CONNECT host:port or an absolute http:// URL");
  if (ANY_SCHEME.test(target)) return new HeadError(400, "scheme", "only http:// URLs are forwarded");
  return new HeadError(400, "target", "request target is neither host:port nor an absolute http:// URL");
}

/** Path and query as sent. */
function originForm(method: string, text: string): string {
  // RFC 9112 section 3.2.4 makes `*` of it, squid and other proxies `/`.
  if (text === "" && method === "OPTIONS") throw new HeadError(400, "target", "OPTIONS for a URL without a path: add a slash");
  if (text === "") return "/";
  if (!ORIGIN_FORM.test(text)) throw new HeadError(400, "target", "character in the URL that must be percent-encoded");
  return text.startsWith("?") ? `/${text}` : text;
}

function authorityOf(text: string, defaultPort?: number): Authority {
  const authority = readAuthority(utf8(text), defaultPort);
  if ("problem" in authority) throw new HeadError(400, "authority", authority.problem);
  return authority;
}

/** Exactly one Host (HTTP/1.0: at most one), and it names what the target names; a port may be left out in CONNECT. */
function checkHost(authority: Authority, defaultPort: number | undefined, version: string, fields: readonly Field[]): void {
  const host = readHostField(defaultPort ?? authority.port, version, fields);
  if (host !== undefined && (host.host !== authority.host || host.port !== authority.port))
    throw new HeadError(400, "host", "Host field and request target name different servers");
}

/**
 * The server that the Host field names; undefined: an HTTP/1.0 request without one. Throws unless there is exactly one with one meaning.
 * @param expected what it most likely names: in its one canonical spelling it needs no reading
 */
export function readHostField(defaultPort: number, version: string, fields: readonly Field[], expected?: Authority): Authority | undefined {
  let seen: string | undefined;
  for (const field of fields) {
    if (field.lower !== "host") continue;
    if (seen !== undefined) throw new HeadError(400, "host", "more than one Host field");
    seen = field.value;
  }
  if (seen === undefined) {
    if (version === "1.1") throw new HeadError(400, "host", "no Host field");
    return undefined;
  }
  // Colons make an address or a port of it.
  if (expected !== undefined && seen === expected.host && defaultPort === expected.port && !seen.includes(":")) return expected;
  const host = readAuthority(utf8(seen), defaultPort);
  if ("problem" in host) throw new HeadError(400, "host", `Host field: ${host.problem}`);
  return host;
}

/** The head was read as bytes; names outside ASCII are UTF-8 in them. Invalid UTF-8 stays as it is and is refused as a name. */
function utf8(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: everything outside ASCII
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text, "latin1").toString("utf8") : text;
}
