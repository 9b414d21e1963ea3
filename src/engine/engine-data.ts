import type { Endpoint, Matcher, Policy, RequestRule } from "../policy/model.ts";
import { isInspected } from "../policy/validate-rules.ts";

/** What the rules see of a policy, under `data.policies`. Matching semantics are theirs; nothing here reads a pattern. */
export interface EngineData {
  readonly policies: Readonly<Record<string, EngineRule>>;
}

interface EngineRule {
  readonly endpoints: readonly EngineEndpoint[];
  readonly binaries: readonly { readonly path: string; readonly self_only: boolean }[];
}

interface EngineEndpoint {
  readonly host: string;
  readonly ports: readonly number[];
  readonly protocol: string;
  /** Absent for plain connections; the rules decide no request of an inspected endpoint without it. */
  readonly requests?: EngineRequests;
}

interface EngineRequests {
  /** Absent enforcement is `audit`. */
  readonly enforce: boolean;
  readonly access: string;
  readonly path: string;
  readonly encoded_slash: boolean;
  /** A WebSocket may be opened although nobody decides its messages: the endpoint exists to put credentials into them. */
  readonly opaque_messages: boolean;
  readonly rules: readonly EngineRequestRule[];
  readonly deny_rules: readonly EngineRequestRule[];
  /** Operations that a client may name by id. */
  readonly registered: Readonly<Record<string, { readonly type: string; readonly name: string; readonly fields: readonly string[] }>>;
  readonly strict_tools: boolean;
  readonly known_methods: boolean;
}

interface EngineRequestRule {
  readonly method: string;
  readonly path: string;
  readonly command: string;
  readonly query: Patterns;
  readonly operation_type: string;
  readonly operation_name: string;
  readonly fields: readonly string[];
  readonly params: Patterns;
}

/** Any of these patterns, by name. */
type Patterns = Readonly<Record<string, readonly string[]>>;

/** The part of a policy that decides connections and requests. */
export function engineData(policy: Policy): EngineData {
  return {
    policies: Object.fromEntries(
      Object.entries(policy.networkPolicies).map(([key, rule]) => [
        key,
        {
          endpoints: rule.endpoints.map(engineEndpoint),
          binaries: rule.binaries.map(({ path, selfOnly }) => ({ path, self_only: selfOnly })),
        },
      ]),
    ),
  };
}

function engineEndpoint(endpoint: Endpoint): EngineEndpoint {
  const { host, ports, protocol } = endpoint;
  return { host, ports, protocol, ...(isInspected(protocol) && { requests: engineRequests(endpoint) }) };
}

function engineRequests(endpoint: Endpoint): EngineRequests {
  const { enforcement, access, path, mcp } = endpoint;
  return {
    enforce: enforcement === "enforce",
    access,
    path,
    encoded_slash: endpoint.allowEncodedSlash,
    opaque_messages: endpoint.websocketCredentialRewrite,
    rules: endpoint.rules.map(engineRequestRule),
    deny_rules: endpoint.denyRules.map(engineRequestRule),
    registered: endpoint.persistedQueries === "allow_registered" ? registered(endpoint) : {},
    strict_tools: mcp?.strictToolNames ?? true,
    known_methods: mcp?.allowAllKnownMcpMethods ?? false,
  };
}

function registered({ graphqlPersistedQueries }: Endpoint): EngineRequests["registered"] {
  return Object.fromEntries(
    Object.entries(graphqlPersistedQueries).map(([id, { operationType, operationName, fields }]) => [
      id,
      { type: operationType, name: operationName, fields },
    ]),
  );
}

function engineRequestRule(rule: RequestRule): EngineRequestRule {
  const { method, path, command, query, operationType, operationName, fields, params } = rule;
  return {
    method,
    path,
    command,
    query: patterns(query),
    operation_type: operationType,
    operation_name: operationName,
    fields,
    params: patterns(params),
  };
}

function patterns(matchers: Readonly<Record<string, Matcher>>): Patterns {
  return Object.fromEntries(Object.entries(matchers).map(([name, matcher]) => [name, "glob" in matcher ? [matcher.glob] : matcher.any]));
}
