import type { AuthoredEndpoint, AuthoredMatcher, AuthoredPolicy, AuthoredRequestRule, AuthoredRule } from "./authored.ts";
import type { Endpoint, Matcher, NetworkRule, Policy, RequestRule } from "./model.ts";

/** The authored form of a model: what says nothing is left out, maps are sorted by key. Fields that only the gateway sets are not part of it. */
export function toAuthored(policy: Policy): AuthoredPolicy {
  const { filesystem, landlock, process, networkPolicies } = policy;
  return {
    version: policy.version,
    ...(filesystem && {
      filesystem_policy: {
        ...(filesystem.includeWorkdir && { include_workdir: true }),
        ...list("read_only", filesystem.readOnly),
        ...list("read_write", filesystem.readWrite),
      },
    }),
    ...(landlock && { landlock: { compatibility: landlock.compatibility } }),
    ...(process && { process: { run_as_user: process.runAsUser, run_as_group: process.runAsGroup } }),
    ...(Object.keys(networkPolicies).length > 0 && { network_policies: sorted(networkPolicies, authoredRule) }),
  };
}

/** One rule, as under `network_policies`; its name is left out when it is the key. */
export function authoredRule(rule: NetworkRule, key: string): AuthoredRule {
  return {
    ...(rule.name !== key && { name: rule.name }),
    ...list("endpoints", rule.endpoints.map(authoredEndpoint)),
    ...list(
      "binaries",
      rule.binaries.map(({ path, selfOnly }) => ({ path, ...(selfOnly && { self_only: true }) })),
    ),
  };
}

export function authoredEndpoint(endpoint: Endpoint): AuthoredEndpoint {
  const [port, ...more] = endpoint.ports;
  const bodyBytes = endpoint.jsonRpcMaxBodyBytes === 0 ? {} : { max_body_bytes: endpoint.jsonRpcMaxBodyBytes };
  const mcpBody = endpoint.protocol === "mcp" ? bodyBytes : {};
  const { strictToolNames, allowAllKnownMcpMethods } = endpoint.mcp ?? {};
  const mcp = {
    ...mcpBody,
    ...(strictToolNames !== undefined && { strict_tool_names: strictToolNames }),
    ...(allowAllKnownMcpMethods !== undefined && { allow_all_known_mcp_methods: allowAllKnownMcpMethods }),
  };
  return {
    ...filled("host", endpoint.host),
    ...(port !== undefined && (more.length === 0 ? { port } : { ports: [...endpoint.ports] })),
    ...filled("path", endpoint.path),
    ...filled("protocol", endpoint.protocol),
    ...filled("tls", endpoint.tls),
    ...filled("enforcement", endpoint.enforcement),
    ...filled("access", endpoint.access),
    ...list(
      "rules",
      endpoint.rules.map((rule) => ({ allow: authoredRequestRule(rule, endpoint) })),
    ),
    ...list(
      "deny_rules",
      endpoint.denyRules.map((rule) => authoredRequestRule(rule, endpoint)),
    ),
    ...list("allowed_ips", endpoint.allowedIps),
    ...filled("allow_encoded_slash", endpoint.allowEncodedSlash),
    ...filled("websocket_credential_rewrite", endpoint.websocketCredentialRewrite),
    ...filled("request_body_credential_rewrite", endpoint.requestBodyCredentialRewrite),
    ...filled("allow_uninspected_credentials", endpoint.allowUninspectedCredentials),
    ...(filled("persisted_queries", endpoint.persistedQueries) as { persisted_queries?: "deny" }),
    ...(Object.keys(endpoint.graphqlPersistedQueries).length > 0 && {
      graphql_persisted_queries: sorted(endpoint.graphqlPersistedQueries, ({ operationType, operationName, fields }) => ({
        ...filled("operation_type", operationType),
        ...filled("operation_name", operationName),
        ...list("fields", fields),
      })),
    }),
    ...filled("graphql_max_body_bytes", endpoint.graphqlMaxBodyBytes),
    ...(endpoint.protocol !== "mcp" && "max_body_bytes" in bodyBytes && { json_rpc: bodyBytes }),
    ...(Object.keys(mcp).length > 0 && { mcp }),
    ...(filled("credential_signing", endpoint.credentialSigning) as { credential_signing?: "sigv4" }),
    ...filled("signing_service", endpoint.signingService),
    ...filled("signing_region", endpoint.signingRegion),
    ...(endpoint.credentialBinding && { credential_binding: { provider: endpoint.credentialBinding.provider } }),
    ...filled("mask_responses", endpoint.maskResponses),
  };
}

function authoredRequestRule(rule: RequestRule, { protocol }: Endpoint): AuthoredRequestRule {
  const { name: tool, ...others } = rule.params;
  const sugar = protocol === "mcp" && tool !== undefined;
  const params = sugar ? others : rule.params;
  return {
    ...filled("method", rule.method),
    ...filled("path", rule.path),
    ...filled("command", rule.command),
    ...(Object.keys(rule.query).length > 0 && { query: sorted(rule.query, authoredMatcher) }),
    ...filled("operation_type", rule.operationType),
    ...filled("operation_name", rule.operationName),
    ...list("fields", rule.fields),
    ...(sugar && { tool: authoredMatcher(tool) }),
    ...(Object.keys(params).length > 0 && { params: sorted(params, authoredMatcher) }),
  };
}

const authoredMatcher = (matcher: Matcher): AuthoredMatcher => ("glob" in matcher ? matcher.glob : { any: [...matcher.any] });

function filled<K extends string, T extends string | number | boolean>(key: K, value: T): { [key in K]?: Exclude<T, "" | 0 | false> } {
  return (value === "" || value === 0 || value === false ? {} : { [key]: value }) as { [key in K]?: Exclude<T, "" | 0 | false> };
}

function list<K extends string, T>(key: K, values: readonly T[]): { [key in K]?: T[] } {
  return (values.length === 0 ? {} : { [key]: [...values] }) as { [key in K]?: T[] };
}

/** By code unit, so that the order does not depend on a locale. */
function sorted<T, U>(record: Readonly<Record<string, T>>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(
    Object.keys(record)
      .sort()
      .map((key) => [key, map(record[key] as T, key)]),
  );
}
