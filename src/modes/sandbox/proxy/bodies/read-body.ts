import type { HttpFacts, RequestDecision } from "../../../../engine/decision.ts";
import type { OriginRequest } from "../http1/origin-request.ts";
import { MAX_PARSED_BODY_BYTES, requireJsonContent } from "./content.ts";
import { GRAPHQL_CONTENT_TYPES, readGraphqlBody, readGraphqlUrl } from "./graphql.ts";
import { RPC_CONTENT_TYPES, readRpcBody } from "./rpc.ts";
import { BodyError, type Read, reading, type Unreadable } from "./unreadable.ts";

export type BodyNeeds = NonNullable<RequestDecision["needs"]>;
export type BodyFacts = Pick<HttpFacts, "graphql"> | Pick<HttpFacts, "rpc">;

/** The request whose body is to be read. */
export type BodyOwner = Pick<OriginRequest, "fields" | "body" | "query">;

/**
 * What a request asks for, as the rules that `needs` speaks of see it. `body`: all of it, without transfer coding. Before it is there, the
 * answer is how many bytes of it to collect, or the refusal that its head is enough for.
 */
export function readNeeded(
  needs: BodyNeeds,
  request: BodyOwner,
  { method, query }: Pick<HttpFacts, "method" | "query">,
  body: Uint8Array | undefined,
): Read<BodyFacts> | { readonly kind: "collect"; readonly limit: number } {
  const { protocol } = needs;
  if (protocol === "graphql" && request.query?.includes(";") === true)
    return {
      kind: "unreadable",
      status: 400,
      code: "graphql_url",
      reason: "the URL has a semicolon, at which some servers begin a parameter",
    };
  if (protocol === "graphql" && method.toUpperCase() === "GET") {
    return reading(() => {
      requireNoBody(request);
      return { graphql: readGraphqlUrl(query) };
    });
  }
  if (body === undefined) {
    const head = reading(() => requireJsonContent(request.fields, protocol === "graphql" ? GRAPHQL_CONTENT_TYPES : RPC_CONTENT_TYPES));
    return head.kind === "unreadable" ? head : { kind: "collect", limit: limitOf(needs) };
  }
  return reading<BodyFacts>(() =>
    protocol === "graphql" ? { graphql: readGraphqlBody(body, query) } : { rpc: readRpcBody(body, protocol) },
  );
}

/** Refused whatever the rules say: a body where the rules look at the URL or the method alone, and a server might look at the body. */
export function unexpectedBody(
  request: Pick<BodyOwner, "body">,
  { method }: Pick<HttpFacts, "method">,
  { endpoint }: RequestDecision,
): Unreadable | undefined {
  if (!BODY_PROTOCOLS.has(endpoint?.protocol ?? "") || method.toUpperCase() === "POST") return undefined;
  const read = reading(() => requireNoBody(request));
  return read.kind === "unreadable" ? read : undefined;
}

/** The refusal of a body that is longer than the rules read. */
export function tooLong(needs: BodyNeeds, { body }: Pick<BodyOwner, "body">): Unreadable {
  const limit = limitOf(needs);
  const size = body.kind === "length" ? `${body.length}` : `more than ${limit}`;
  return {
    status: 413,
    code: "body_too_large",
    reason: `body of ${size} bytes, at most ${limit} are read by rules about ${needs.protocol}`,
  };
}

const BODY_PROTOCOLS: ReadonlySet<string> = new Set(["graphql", "json-rpc", "mcp"]);

function limitOf({ maxBodyBytes }: BodyNeeds): number {
  return Math.min(maxBodyBytes, MAX_PARSED_BODY_BYTES);
}

function requireNoBody({ body }: Pick<BodyOwner, "body">): void {
  const empty = body.kind === "none" || (body.kind === "length" && body.length === 0);
  if (!empty) throw new BodyError(400, "body_unexpected", "the request has a body where none is read");
}
