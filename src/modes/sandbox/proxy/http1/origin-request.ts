import type { Authority } from "./authority.ts";
import { checkNominated, nominatedFields } from "./connection-options.ts";
import type { Field } from "./fields.ts";
import { type BodyFraming, readFraming } from "./framing.ts";
import { headSize, ORIGIN_FORM, readHostField, readRequestParts } from "./head.ts";
import { HOP_BY_HOP } from "./hop-by-hop.ts";
import { HeadError, type Refusal } from "./refused.ts";

/** One request head inside a tunnel: cookies and tokens make them larger than those for a proxy. Node's and nginx' limit is 16 KiB as well. */
export const MAX_ORIGIN_HEAD_BYTES = 16_384;

/** A request as a server gets it, read strictly. */
export interface OriginRequest {
  readonly method: string;
  /** Path in origin-form as sent, or `*`. */
  readonly path: string;
  /** Without its question mark; undefined: none. */
  readonly query: string | undefined;
  readonly version: "1.0" | "1.1" | "2";
  readonly fields: readonly Field[];
  readonly body: BodyFraming;
  /** What the client wants to change to, in lower case; empty: nothing. */
  readonly upgrade: string;
  /** Whether the client expects to send another request on this connection. */
  readonly keepAlive: boolean;
}

export type OriginResult =
  | { readonly kind: "incomplete" }
  | { readonly kind: "request"; readonly request: OriginRequest; readonly size: number }
  | ({ readonly kind: "refused" } & Refusal);

const INCOMPLETE: OriginResult = { kind: "incomplete" };

/**
 * Reads one request head inside a connection to `authority`. As strict as `readHead`; a Host that names another server is a 421, since the
 * connection was decided for this one.
 */
export function readOriginRequest(bytes: Buffer, authority: Authority): OriginResult {
  try {
    const size = headSize(bytes, MAX_ORIGIN_HEAD_BYTES);
    if (size === undefined) return INCOMPLETE;
    return { kind: "request", request: parse(bytes.toString("latin1", 0, size - 4), authority), size };
  } catch (reason) {
    if (reason instanceof HeadError) return { kind: "refused", ...reason.refusal };
    throw reason;
  }
}

function parse(text: string, authority: Authority): OriginRequest {
  const { method, target, version, fields } = readRequestParts(text);
  if (method === "CONNECT") throw new HeadError(405, "connect_inside", "CONNECT inside a connection that stands already");
  if (method === "TRACE") throw new HeadError(405, "trace", "TRACE echoes credentials back and is refused");
  if (target !== "*" && !target.startsWith("/")) throw new HeadError(400, "target", "the request target is not a path");
  if (target === "*" && method !== "OPTIONS") throw new HeadError(400, "target", "* is a target for OPTIONS alone");
  if (!ORIGIN_FORM.test(target)) throw new HeadError(400, "target", "character in the URL that must be percent-encoded");
  const host = readHostField(authority.port, version, fields, authority);
  if (host !== undefined && (host.host !== authority.host || host.port !== authority.port))
    throw new HeadError(421, "host", "the Host field names another server than this connection");
  checkNominated(fields);
  return {
    method,
    ...splitTarget(target),
    version,
    fields,
    body: readFraming(version, fields),
    upgrade: readUpgrade(version, fields),
    keepAlive: version === "1.1" && !nominatedFields(fields).has("close"),
  };
}

/** Path and query of a target in origin-form. */
export function splitTarget(target: string): Pick<OriginRequest, "path" | "query"> {
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: undefined } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** One protocol of those that the client would change to: WebSocket before others. */
function readUpgrade(version: string, fields: readonly Field[]): string {
  if (version === "1.0" || !nominatedFields(fields).has("upgrade")) return "";
  const wanted = fields.filter((field) => field.lower === "upgrade").flatMap((field) => field.value.toLowerCase().split(","));
  const tokens = wanted.map((token) => token.trim()).filter((token) => UPGRADE_TOKEN.test(token));
  return tokens.includes("websocket") ? "websocket" : (tokens[0] ?? "");
}

const UPGRADE_TOKEN = /^[a-z0-9!#$%&'*+.^_`|~/-]+$/;

/** Path and query as on a request line. */
export function targetOf({ path, query }: Pick<OriginRequest, "path" | "query">): string {
  return query === undefined ? path : `${path}?${query}`;
}

/** Written from `body`, not as they came. */
const FRAMING: ReadonlySet<string> = new Set(["host", "content-length", "transfer-encoding"]);

/** The head as an HTTP/1 server gets it. `host`: the authority of the connection. */
export function originRequestHead(request: OriginRequest, host: string): Buffer {
  const { method, version, fields, body, upgrade } = request;
  const dropped = nominatedFields(fields);
  let text = `${method} ${targetOf(request)} HTTP/${version === "1.0" ? "1.0" : "1.1"}\r\nHost: ${host}\r\n`;
  for (const field of fields) {
    if (FRAMING.has(field.lower) || HOP_BY_HOP.has(field.lower) || dropped.has(field.lower)) continue;
    text += `${field.name}: ${field.value}\r\n`;
  }
  if (body.kind === "length") text += `Content-Length: ${body.length}\r\n`;
  else if (body.kind === "chunked") text += "Transfer-Encoding: chunked\r\n";
  if (upgrade !== "") text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
  else if (version === "1.0") text += "Connection: close\r\n";
  return Buffer.from(`${text}\r\n`, "latin1");
}
