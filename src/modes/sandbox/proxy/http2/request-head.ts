import { type Authority, readAuthority } from "../http1/authority.ts";
import { nominatedFields } from "../http1/connection-options.ts";
import { checkUtf8, type Field } from "../http1/fields.ts";
import type { BodyFraming } from "../http1/framing.ts";
import { canonicalMethod, MAX_FIELDS, ORIGIN_FORM } from "../http1/head.ts";
import { type OriginRequest, splitTarget, targetOf } from "../http1/origin-request.ts";
import { HeadError, type Refusal } from "../http1/refused.ts";
import { contentLength, Malformed, splitFields, writtenFields } from "./fields.ts";
import type { DecodedBlock, RawField } from "./hpack-decoder.ts";

export type Http2RequestResult =
  | { readonly kind: "request"; readonly request: OriginRequest }
  /** Well-formed, and not for us to pass on. */
  | ({ readonly kind: "refused"; readonly method: string | undefined } & Refusal)
  /** The stream is reset (RFC 9113 section 8.1.1). */
  | { readonly kind: "malformed"; readonly reason: string };

/** `:protocol` (RFC 8441) is not among them: it is not offered, so sending it is malformed. */
const REQUEST_PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path"]);
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Where a request must be going. */
export interface RequestSite {
  readonly authority: Authority;
  readonly scheme: "http" | "https";
}

/** Reads the head of a request as strictly as one of HTTP/1. `last`: there is no body. */
export function readHttp2Request(block: DecodedBlock, last: boolean, site: RequestSite): Http2RequestResult {
  let method: string | undefined;
  try {
    if (block.tooLarge) throw new HeadError(431, "head_too_large", "the list of request fields is larger than is accepted");
    const { pseudo, fields } = splitFields(block.fields, REQUEST_PSEUDO);
    method = pseudo.get(":method");
    if (method === undefined || !METHOD.test(method)) throw new Malformed("no valid :method");
    return { kind: "request", request: read(canonicalMethod(method), pseudo, fields, last, site) };
  } catch (error) {
    if (error instanceof Malformed) return { kind: "malformed", reason: error.message };
    if (error instanceof HeadError) return { kind: "refused", method, ...error.refusal };
    throw error;
  }
}

function read(
  method: string,
  pseudo: ReadonlyMap<string, string>,
  fields: readonly Field[],
  last: boolean,
  site: RequestSite,
): OriginRequest {
  if (method === "CONNECT") throw new HeadError(405, "connect_inside", "CONNECT inside a connection that stands already");
  const scheme = pseudo.get(":scheme");
  const path = pseudo.get(":path");
  if (scheme === undefined || path === undefined || path === "") throw new Malformed("no :scheme or no :path");
  if (method === "TRACE") throw new HeadError(405, "trace", "TRACE echoes credentials back and is refused");
  if (fields.length > MAX_FIELDS)
    throw new HeadError(431, "too_many_fields", `${fields.length} header fields, at most ${MAX_FIELDS} are accepted`);
  for (const { value } of fields) checkUtf8(value);
  if (scheme !== site.scheme) throw new HeadError(421, "scheme", `:scheme is not ${site.scheme}`);
  if (path !== "*" && !path.startsWith("/")) throw new HeadError(400, "target", ":path is not a path");
  if (path === "*" && method !== "OPTIONS") throw new HeadError(400, "target", "* is a target for OPTIONS alone");
  if (!ORIGIN_FORM.test(path)) throw new HeadError(400, "target", "character in :path that must be percent-encoded");
  checkAuthority(pseudo.get(":authority"), fields, site);
  const others = fields.filter(({ lower }) => lower !== "host");
  return {
    method,
    ...splitTarget(path),
    version: "2",
    fields: joinCookies(others),
    body: framing(fields, last),
    upgrade: "",
    keepAlive: true,
  };
}

/** `:authority`, or Host for want of it, names the server of the connection; where both are, both do. */
function checkAuthority(authority: string | undefined, fields: readonly Field[], site: RequestSite): void {
  const hosts = fields.filter(({ lower }) => lower === "host");
  if (hosts.length > 1) throw new HeadError(400, "host", "more than one Host field");
  const named = [authority, hosts[0]?.value].filter((text) => text !== undefined);
  if (named.length === 0) throw new HeadError(400, "host", "neither :authority nor Host");
  for (const text of named) {
    const server = readAuthority(text, site.scheme === "https" ? 443 : 80);
    if ("problem" in server) throw new HeadError(400, "host", `:authority: ${server.problem}`);
    if (server.host !== site.authority.host || server.port !== site.authority.port)
      throw new HeadError(421, "host", ":authority names another server than this connection");
  }
}

function framing(fields: readonly Field[], last: boolean): BodyFraming {
  const length = contentLength(fields);
  if (last && length !== undefined && length > 0) throw new Malformed("content-length without DATA");
  if (last) return { kind: "none" };
  return length === undefined ? { kind: "chunked" } : { kind: "length", length };
}

/** HTTP/2 may cut Cookie in pieces; policy, credentials and HTTP/1 want one (RFC 9113 section 8.2.3). */
function joinCookies(fields: readonly Field[]): readonly Field[] {
  const cookies = fields.filter(({ lower }) => lower === "cookie");
  if (cookies.length < 2) return fields;
  const value = cookies.map((field) => field.value).join("; ");
  return [...fields.filter(({ lower }) => lower !== "cookie"), { name: "cookie", lower: "cookie", value }];
}

/** The head of a request as a server gets it over HTTP/2. `host`: the authority of the connection. */
export function writeHttp2Request(request: OriginRequest, host: string, scheme: "http" | "https"): RawField[] {
  const { method, body } = request;
  const fields = writtenFields(request.fields, nominatedFields(request.fields)).filter(([name]) => name !== "content-length");
  if (body.kind === "length") fields.push(["content-length", String(body.length)]);
  return [[":method", method], [":scheme", scheme], [":authority", host], [":path", targetOf(request)], ...fields];
}
