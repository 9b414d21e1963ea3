import type { HttpFacts, QueryFacts, RequestDecision } from "../../../../engine/decision.ts";
import type { Field } from "../http1/fields.ts";
import { requireJsonContent } from "./content.ts";
import { GRAPHQL_CONTENT_TYPES, readGraphqlBody, readGraphqlUrl } from "./graphql.ts";
import { RPC_CONTENT_TYPES, readRpcBody } from "./rpc.ts";
import { type Read, reading } from "./unreadable.ts";

export type BodyProtocol = NonNullable<RequestDecision["needs"]>["protocol"];
export type BodyFacts = Pick<HttpFacts, "graphql"> | Pick<HttpFacts, "rpc">;

/** The request whose body is to be read. */
export interface BodyOwner {
  readonly method: string;
  readonly query: QueryFacts;
  readonly fields: readonly Field[];
}

/** What a request asks for as the rules of `protocol` see it; `body`: all of it, without transfer coding. */
export function readBodyFacts(protocol: BodyProtocol, { method, query, fields }: BodyOwner, body: Uint8Array): Read<BodyFacts> {
  return reading<BodyFacts>(() => {
    if (protocol === "graphql" && method.toUpperCase() === "GET") return { graphql: readGraphqlUrl(query) };
    if (protocol === "graphql") {
      requireJsonContent(fields, GRAPHQL_CONTENT_TYPES);
      return { graphql: readGraphqlBody(body, query) };
    }
    requireJsonContent(fields, RPC_CONTENT_TYPES);
    return { rpc: readRpcBody(body, protocol) };
  });
}
