import type { Violation } from "../error.ts";
import type { Endpoint } from "./model.ts";
import { isAddress } from "./validate-host.ts";
import { isInspected } from "./validate-rules.ts";

/** Fields that mean something only for some protocols. Accepting one elsewhere would promise a protection that nobody enforces. */
const ONLY_FOR: readonly { field: string; protocols: readonly string[]; set: (endpoint: Endpoint) => boolean }[] = [
  { field: "websocket_credential_rewrite", protocols: ["rest", "websocket"], set: (e) => e.websocketCredentialRewrite },
  { field: "request_body_credential_rewrite", protocols: ["rest"], set: (e) => e.requestBodyCredentialRewrite },
  { field: "persisted_queries", protocols: ["graphql", "websocket"], set: (e) => e.persistedQueries !== "" },
  {
    field: "graphql_persisted_queries",
    protocols: ["graphql", "websocket"],
    set: (e) => Object.keys(e.graphqlPersistedQueries).length > 0,
  },
  { field: "graphql_max_body_bytes", protocols: ["graphql", "websocket"], set: (e) => e.graphqlMaxBodyBytes !== 0 },
  { field: "json_rpc.max_body_bytes", protocols: ["json-rpc", "mcp"], set: (e) => e.jsonRpcMaxBodyBytes !== 0 },
  { field: "mcp", protocols: ["mcp"], set: (e) => e.mcp !== undefined },
];

const NOT_INSPECTED: readonly { field: string; set: (endpoint: Endpoint) => boolean }[] = [
  { field: "access", set: (e) => e.access !== "" },
  { field: "rules", set: (e) => e.rules.length > 0 },
  { field: "deny_rules", set: (e) => e.denyRules.length > 0 },
  { field: "path", set: (e) => e.path !== "" },
  { field: "allow_encoded_slash", set: (e) => e.allowEncodedSlash },
];

/** Which settings go with which protocol. */
export function* validateProtocol(endpoint: Endpoint, field: string): Generator<Violation> {
  const { protocol } = endpoint;
  if (protocol !== "" && protocol !== "tcp" && !isInspected(protocol)) {
    yield {
      field: `${field}.protocol`,
      message: `'${protocol}' is not known: expected tcp, rest, websocket, graphql, sql, json-rpc, or mcp`,
    };
    return;
  }
  for (const only of ONLY_FOR) {
    if (only.set(endpoint) && !only.protocols.includes(protocol)) {
      yield { field: `${field}.${only.field}`, message: `needs protocol ${only.protocols.join(" or ")}` };
    }
  }
  if (!isInspected(protocol)) {
    for (const setting of NOT_INSPECTED) {
      if (setting.set(endpoint))
        yield {
          field: `${field}.${setting.field}`,
          message: `needs a protocol that is inspected (rest, websocket, graphql, sql, json-rpc or mcp)`,
        };
    }
  }
  if (protocol === "tcp") yield* validateTcp(endpoint, field);
  if (protocol === "sql" && endpoint.enforcement === "enforce") {
    yield { field: `${field}.enforcement`, message: "sql can be audited only: write audit" };
  }
  if (protocol === "mcp" && endpoint.host === "") yield { field: `${field}.host`, message: "is missing: mcp needs a host" };
}

/** Explicit layer 4 is captured by name, so it needs one. */
function* validateTcp(endpoint: Endpoint, field: string): Generator<Violation> {
  if (endpoint.enforcement !== "") yield { field: `${field}.enforcement`, message: "does not apply to protocol tcp" };
  if (endpoint.host === "" || isAddress(endpoint.host)) yield { field: `${field}.host`, message: "must be a DNS name for protocol tcp" };
}
