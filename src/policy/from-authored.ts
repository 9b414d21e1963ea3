import type { AuthoredEndpoint, AuthoredMatcher, AuthoredParams, AuthoredPolicy, AuthoredRequestRule, AuthoredRule } from "./authored.ts";
import { emptyEndpoint, emptyRequestRule } from "./defaults.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Endpoint, Matcher, McpOptions, NetworkRule, Policy, Protocol, RequestRule } from "./model.ts";
import { canonicalHost, distinct, normalisePath } from "./normalise.ts";

/** Receives what cannot be expressed in the model: a conflict between two ways of saying one thing. */
export type Report = (field: string, message: string) => void;

/** The model of an authored policy: names defaulted, `port` made `ports`, paths lexically normalised, hosts in one spelling. */
export function fromAuthored(policy: AuthoredPolicy, report: Report): Policy {
  const { filesystem_policy: filesystem, landlock, process } = policy;
  if (policy.version === undefined) report("version", "is missing: expected 1");
  return {
    version: policy.version ?? 1,
    ...(filesystem && {
      filesystem: {
        includeWorkdir: filesystem.include_workdir ?? false,
        readOnly: (filesystem.read_only ?? []).map(normalisePath),
        readWrite: (filesystem.read_write ?? []).map(normalisePath),
      },
    }),
    ...(landlock && { landlock: { compatibility: landlock.compatibility || "hard_requirement" } }),
    ...(process && { process: { runAsUser: identity(process.run_as_user), runAsGroup: identity(process.run_as_group) } }),
    networkPolicies: Object.fromEntries(
      Object.entries(policy.network_policies ?? {}).map(([key, rule]) => [key, networkRule(key, rule, ["network_policies", key], report)]),
    ),
  };
}

const identity = (value: string | number | undefined) => (value === undefined || value === "" ? "sandbox" : String(value));

function networkRule(key: string, rule: AuthoredRule, at: Path, report: Report): NetworkRule {
  return {
    name: rule.name || key,
    endpoints: (rule.endpoints ?? []).map((endpoint, i) => networkEndpoint(endpoint, [...at, "endpoints", i], report)),
    binaries: (rule.binaries ?? []).map(({ path, self_only }) => ({ path: path ?? "", selfOnly: self_only ?? false })),
  };
}

function networkEndpoint(authored: AuthoredEndpoint, at: Path, report: Report): Endpoint {
  if (authored.port !== undefined && authored.ports !== undefined)
    report(fieldPath([...at, "port"]), "port and ports are mutually exclusive");
  if (authored.json_rpc?.max_body_bytes !== undefined && authored.mcp?.max_body_bytes !== undefined) {
    report(fieldPath([...at, "mcp", "max_body_bytes"]), "json_rpc.max_body_bytes and mcp.max_body_bytes are one setting: give one of them");
  }
  const mcp = mcpOptions(authored);
  return {
    ...emptyEndpoint,
    host: canonicalHost(authored.host ?? ""),
    ports: distinct(authored.ports ?? (authored.port === undefined ? [] : [authored.port])),
    protocol: (authored.protocol ?? "").toLowerCase() as Protocol,
    tls: authored.tls ?? "",
    enforcement: authored.enforcement ?? "",
    access: authored.access ?? "",
    rules: (authored.rules ?? []).map(({ allow }, i) => requestRule(allow ?? {}, [...at, "rules", i, "allow"], report)),
    denyRules: (authored.deny_rules ?? []).map((rule, i) => requestRule(rule, [...at, "deny_rules", i], report)),
    allowedIps: authored.allowed_ips ?? [],
    path: authored.path ?? "",
    allowEncodedSlash: authored.allow_encoded_slash ?? false,
    websocketCredentialRewrite: authored.websocket_credential_rewrite ?? false,
    requestBodyCredentialRewrite: authored.request_body_credential_rewrite ?? false,
    allowUninspectedCredentials: authored.allow_uninspected_credentials ?? false,
    persistedQueries: authored.persisted_queries ?? "",
    graphqlPersistedQueries: Object.fromEntries(
      Object.entries(authored.graphql_persisted_queries ?? {}).map(([id, operation]) => [
        id,
        { operationType: operation.operation_type ?? "", operationName: operation.operation_name ?? "", fields: operation.fields ?? [] },
      ]),
    ),
    graphqlMaxBodyBytes: authored.graphql_max_body_bytes ?? 0,
    jsonRpcMaxBodyBytes: authored.json_rpc?.max_body_bytes ?? authored.mcp?.max_body_bytes ?? 0,
    ...(mcp && { mcp }),
    credentialSigning: authored.credential_signing ?? "",
    signingService: authored.signing_service ?? "",
    signingRegion: authored.signing_region ?? "",
    ...(authored.credential_binding && { credentialBinding: { provider: authored.credential_binding.provider ?? "" } }),
    maskResponses: authored.mask_responses ?? false,
  };
}

function mcpOptions({ mcp }: AuthoredEndpoint): McpOptions | undefined {
  const options: McpOptions = {
    ...(mcp?.strict_tool_names !== undefined && { strictToolNames: mcp.strict_tool_names }),
    ...(mcp?.allow_all_known_mcp_methods !== undefined && { allowAllKnownMcpMethods: mcp.allow_all_known_mcp_methods }),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

function requestRule(authored: AuthoredRequestRule, at: Path, report: Report): RequestRule {
  const params = new Map(flatten(authored.params ?? {}, ""));
  if (authored.tool !== undefined) {
    if (params.has("name")) report(fieldPath([...at, "tool"]), "tool and params.name say the same: give one of them");
    params.set("name", matcher(authored.tool));
  }
  return {
    ...emptyRequestRule,
    method: authored.method ?? "",
    path: authored.path ?? "",
    command: authored.command ?? "",
    query: Object.fromEntries(Object.entries(authored.query ?? {}).map(([name, value]) => [name, matcher(value)])),
    operationType: authored.operation_type ?? "",
    operationName: authored.operation_name ?? "",
    fields: authored.fields ?? [],
    params: Object.fromEntries(params),
  };
}

const matcher = (value: AuthoredMatcher): Matcher => (typeof value === "string" ? { glob: value } : value);

/** Nested parameters become dotted names: `arguments: {path: x}` is `arguments.path: x`. */
function* flatten(params: AuthoredParams, prefix: string): Generator<[string, Matcher]> {
  for (const [name, value] of Object.entries(params)) {
    if (isMatcher(value)) yield [prefix + name, matcher(value)];
    else yield* flatten(value, `${prefix}${name}.`);
  }
}

/** As the schema tries them: a mapping with exactly `any: [..]` or `glob: "…"` is a pattern, any other is a level of names. */
function isMatcher(value: AuthoredMatcher | AuthoredParams): value is AuthoredMatcher {
  if (typeof value === "string") return true;
  const [key, ...more] = Object.keys(value);
  if (more.length > 0 || key === undefined) return false;
  const inner = (value as Record<string, unknown>)[key];
  return (key === "any" && Array.isArray(inner)) || (key === "glob" && typeof inner === "string");
}
