import type { Endpoint } from "../../../policy/model.ts";
import type { Authority } from "../proxy/http1/authority.ts";
import type { Field } from "../proxy/http1/fields.ts";
import { hostField } from "../proxy/http1/origin-form.ts";
import type { OriginRequest } from "../proxy/http1/origin-request.ts";
import { canonicalPath } from "../proxy/http1/path.ts";
import { type Forward, ownField } from "../proxy/inspect/ruling.ts";
import type { Destination } from "./binding.ts";
import { bodyKind, MAX_REWRITTEN_BODY, substituteBody, substituteMessage, unreadableBody } from "./body.ts";
import { BodyScan, hasPlaceholderLeft, PLACEHOLDER_LEFT } from "./body-scan.ts";
import type { Mask } from "./mask.ts";
import type { Credential, Credentials } from "./model.ts";
import { maskedPath } from "./placeholder.ts";
import { CredentialRefused } from "./refused.ts";
import { maskingFilter } from "./response-mask.ts";
import { MAX_SIGNED_BODY, payloadOf, type SigningSettings, sign, signedWith } from "./signing.ts";
import { hasPlaceholder, type Substituted, substituteHead, type Use } from "./substitute.ts";

/** What becomes of one allowed request: it goes on with its secrets in place, or its body is needed first. */
export type Prepared =
  | { readonly kind: "forward"; readonly forward: Forward; readonly used: readonly Credential[] }
  | { readonly kind: "collect"; readonly limit: number };

/** Where requests of one connection go. */
export interface Server {
  readonly authority: Authority;
  readonly scheme: "http" | "https";
}

/**
 * The last step of an allowed request: placeholders become secrets, signatures are made again, answers are masked. Throws `CredentialRefused` when
 * a placeholder would be sent that may not be replaced.
 * @param request with its canonical path
 * @param endpoints those of the policy that the request is for
 * @param body all of it, once it has been collected
 */
export function prepare(
  request: OriginRequest,
  endpoints: readonly Endpoint[],
  body: Buffer | undefined,
  credentials: Credentials,
  server: Server,
): Prepared {
  const masksBodies = credentials.mask !== undefined && endpoints.some(({ maskResponses }) => maskResponses);
  const plain = masksBodies ? unencodedAnswer(request) : request;
  const response = credentials.mask === undefined ? {} : { response: maskingFilter(credentials.mask, masksBodies) };
  const unchanged = { kind: "forward", forward: { kind: "forward", request: plain, ...response }, used: [] } as const;
  const rewrites = endpoints.some(({ requestBodyCredentialRewrite }) => requestBodyCredentialRewrite) && hasBody(plain);
  if (!rewrites && !hasPlaceholder(plain)) return unchanged;
  const use = useOf(plain, endpoints, credentials, server);
  const settings = signingOf(endpoints);
  const by = settings === undefined ? undefined : signedWith(plain);
  if (settings !== undefined && by !== undefined) {
    const payload = payloadOf(plain, by, settings, hasBody(plain));
    if (payload === undefined && body === undefined) return { kind: "collect", limit: MAX_SIGNED_BODY };
    const signed = sign(plain, by, settings, payload ?? body ?? "", hostField(server.authority, server.scheme), use);
    // A body that rules have read is here already, and goes as a whole.
    if (signed.body !== undefined && body !== undefined)
      return forward(plain, signed, { value: signed.body.body(body, true), used: [] }, response);
    return forward(plain, signed, undefined, { ...response, ...(signed.body && { content: signed.body }) });
  }
  const head = substituteHead(plain, use);
  const kind = rewrites ? bodyKind(field(plain.fields, "content-type")) : undefined;
  if (kind === undefined && !rewrites) return forward(plain, head, undefined, response);
  if (kind === undefined) {
    if (body !== undefined && hasPlaceholderLeft(body)) throw new CredentialRefused("credential_body", PLACEHOLDER_LEFT);
    return forward(plain, head, undefined, { ...response, content: new BodyScan() });
  }
  const unreadable = unreadableBody(field(plain.fields, "content-type"), field(plain.fields, "content-encoding"));
  if (unreadable !== undefined) throw new CredentialRefused("credential_body", unreadable);
  if (body === undefined) return { kind: "collect", limit: MAX_REWRITTEN_BODY };
  return forward(plain, head, substituteBody(body, kind, use), response);
}

/** The refusal of a body that is longer than what was asked for. */
export function bodyTooLong(limit: number): CredentialRefused {
  const what = limit === MAX_SIGNED_BODY ? "to be signed again" : "to have its placeholders replaced";
  return new CredentialRefused("credential_body", `the body is larger than the ${limit} bytes that are accepted ${what}`, 413);
}

/**
 * What masks the messages of the server behind this upgrade; undefined: nothing has to. Throws `CredentialRefused` when they must be masked and cannot
 * be, because nobody reads them.
 */
export function messageMask(endpoints: readonly Endpoint[], areRead: boolean, { mask }: Credentials): Mask | undefined {
  if (mask === undefined || !endpoints.some(({ maskResponses }) => maskResponses)) return undefined;
  if (areRead) return mask;
  throw new CredentialRefused("credential_upgrade", "the policy masks answers here, and messages behind this upgrade would pass unread");
}

/** A text message behind an upgrade, with its secrets in place where an endpoint says `websocket_credential_rewrite`. Throws `CredentialRefused`. */
export function prepareMessage(
  message: string,
  request: OriginRequest,
  endpoints: readonly Endpoint[],
  credentials: Credentials,
  server: Server,
): Substituted<string> {
  if (!endpoints.some(({ websocketCredentialRewrite }) => websocketCredentialRewrite)) return { value: message, used: [] };
  return substituteMessage(message, useOf(request, endpoints, credentials, server));
}

/** Where credentials are for some paths alone, it matters which path the server reads: the canonical one goes, also where no rule has asked for it. */
export function pathForCredentials(request: OriginRequest): OriginRequest {
  return hasPlaceholder(request) ? { ...request, path: canonicalPath(request.path) } : request;
}

function useOf({ path }: OriginRequest, endpoints: readonly Endpoint[], credentials: Credentials, { authority, scheme }: Server): Use {
  const providers = endpoints.flatMap(({ credentialBinding }) => credentialBinding?.provider ?? []);
  const destination: Destination = { ...authority, path: maskedPath(path, credentials.current), providers };
  return { set: credentials.current, destination, secure: scheme === "https", now: Date.now() };
}

function signingOf(endpoints: readonly Endpoint[]): SigningSettings | undefined {
  const endpoint = endpoints.find(({ credentialSigning }) => credentialSigning !== "");
  if (endpoint === undefined) return undefined;
  const { credentialSigning, signingService: service, signingRegion: region } = endpoint;
  const mode = credentialSigning === "sigv4:body" || credentialSigning === "sigv4:no_body" ? credentialSigning : "sigv4";
  return { mode, service, region };
}

function forward(
  request: OriginRequest,
  head: Substituted<Pick<OriginRequest, "path" | "query" | "fields">>,
  body: Substituted<Buffer> | undefined,
  filters: Pick<Forward, "response" | "content">,
): Prepared {
  const { path, query, fields } = head.value;
  const used = [...new Set([...head.used, ...(body?.used ?? [])])];
  return {
    kind: "forward",
    forward: {
      kind: "forward",
      request: { ...request, path, query, fields },
      ...(body === undefined ? {} : { body: body.value }),
      ...filters,
    },
    used,
  };
}

/** Asks the server for an answer that can be read: all of it, plain. */
function unencodedAnswer(request: OriginRequest): OriginRequest {
  const fields = request.fields.filter(({ lower }) => !["accept-encoding", "range", "if-range"].includes(lower));
  return { ...request, fields: [...fields, ownField("Accept-Encoding", "identity")] };
}

function hasBody({ body }: OriginRequest): boolean {
  return body.kind === "chunked" || (body.kind === "length" && body.length > 0);
}

function field(fields: readonly Field[], lower: string): string | undefined {
  return fields.find((one) => one.lower === lower)?.value;
}
