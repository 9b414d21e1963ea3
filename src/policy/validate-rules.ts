import type { Violation } from "../error.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Endpoint, Matcher, RequestRule } from "./model.ts";
import { deniedPathProblem, pathPatternProblem, pathSpellingProblem, textPatternProblem } from "./request-patterns.ts";
import { validateRpcRules } from "./validate-rpc-rules.ts";

type RuleField = "method" | "path" | "command" | "query" | "operation_type" | "operation_name" | "fields" | "params";

/** What a rule may speak of, per protocol. A field of another protocol would be a condition that is never checked. */
const RULE_FIELDS: Readonly<Record<string, readonly RuleField[]>> = {
  rest: ["method", "path", "query"],
  websocket: ["method", "path", "query", "operation_type", "operation_name", "fields"],
  graphql: ["operation_type", "operation_name", "fields"],
  sql: ["command"],
  "json-rpc": ["method"],
  mcp: ["method", "params"],
};

const OPERATIONS = new Set(["query", "mutation", "subscription", "*"]);

/** Protocols whose requests are decided one by one. */
export function isInspected(protocol: string): boolean {
  return Object.hasOwn(RULE_FIELDS, protocol);
}

/** Presets and rules of an inspected endpoint. */
export function* validateRequestRules(endpoint: Endpoint, at: Path): Generator<Violation> {
  const field = fieldPath(at);
  const { protocol, access, rules, denyRules } = endpoint;
  const rpc = protocol === "json-rpc" || protocol === "mcp";
  if (rules.length > 0 && access !== "") yield { field: `${field}.access`, message: "rules and access are mutually exclusive" };
  if (!rpc && rules.length === 0 && access === "") yield { field: `${field}.rules`, message: `protocol ${protocol} needs rules or access` };
  if (rules.length > 0 && rules.every(isEmptyRule))
    yield { field: `${field}.rules`, message: "every rule is empty: this would deny all traffic" };
  if (denyRules.length > 0 && rules.length === 0 && access === "" && protocol !== "mcp") {
    yield { field: `${field}.deny_rules`, message: "need rules or access to take something away from" };
  }
  for (const [i, rule] of rules.entries()) yield* validateRule(rule, endpoint, [...at, "rules", i, "allow"]);
  for (const [i, rule] of denyRules.entries()) {
    const place: Path = [...at, "deny_rules", i];
    if (isEmptyRule(rule)) yield { field: fieldPath(place), message: "is empty: say what to deny" };
    yield* validateRule(rule, endpoint, place);
    yield* pattern(deniedPathProblem, rule.path, [...place, "path"]);
  }
  if (rpc) yield* validateRpcRules(endpoint, at);
  if (protocol === "websocket") yield* validateWebSocketRules(endpoint, field);
  for (const [id, { operationType }] of Object.entries(endpoint.graphqlPersistedQueries)) {
    if (operationType === "*" || !OPERATIONS.has(operationType)) {
      const place = fieldPath([...at, "graphql_persisted_queries", id, "operation_type"]);
      yield { field: place, message: "expected query, mutation or subscription: what it is decides who may run it" };
    }
  }
}

function* validateRule(rule: RequestRule, { protocol }: Endpoint, at: Path): Generator<Violation> {
  const allowed = RULE_FIELDS[protocol] ?? [];
  for (const name of setFields(rule)) {
    if (!allowed.includes(name)) yield { field: fieldPath([...at, name]), message: `does not apply to protocol ${protocol}` };
  }
  // A path that no request can have would make a deny rule that never fires.
  if (rule.path !== "" && rule.path !== "**" && !/^(\/|\*\*\/)/.test(rule.path)) {
    yield { field: fieldPath([...at, "path"]), message: `'${rule.path}' matches no request: start it with /, or write ** for any path` };
  }
  yield* pattern(pathPatternProblem, rule.path, [...at, "path"]);
  yield* pattern(pathSpellingProblem, rule.path, [...at, "path"]);
  yield* pattern(textPatternProblem, rule.command, [...at, "command"]);
  yield* pattern(textPatternProblem, rule.operationName, [...at, "operation_name"]);
  for (const [i, name] of rule.fields.entries()) yield* pattern(textPatternProblem, name, [...at, "fields", i]);
  // json-rpc and mcp say themselves which of their methods may be patterns.
  if ((protocol === "rest" || protocol === "websocket") && rule.method.includes("*") && rule.method !== "*") {
    yield { field: fieldPath([...at, "method"]), message: `'${rule.method}' must be a name or *` };
  }
  if (protocol === "mcp") yield* pattern(textPatternProblem, rule.method, [...at, "method"]);
  for (const [map, matchers] of [
    ["query", rule.query],
    ["params", rule.params],
  ] as const) {
    for (const [name, matcher] of Object.entries(matchers)) yield* validateMatcher(matcher, [...at, map, name]);
  }
  const graphql = protocol === "graphql" || (protocol === "websocket" && hasGraphqlFields(rule));
  if (graphql && !isEmptyRule(rule) && !OPERATIONS.has(rule.operationType)) {
    yield { field: fieldPath([...at, "operation_type"]), message: "expected query, mutation, subscription or *" };
  }
  if (rule.fields.includes("")) yield { field: fieldPath([...at, "fields"]), message: "has an empty name" };
}

function* validateMatcher(matcher: Matcher, at: Path): Generator<Violation> {
  const globs = "glob" in matcher ? [matcher.glob] : matcher.any;
  if (globs.length === 0 || globs.includes("")) yield { field: fieldPath(at), message: "must not be empty" };
  for (const glob of globs) yield* pattern(textPatternProblem, glob, at);
}

function* pattern(problemOf: (pattern: string) => string | undefined, text: string, at: Path): Generator<Violation> {
  const problem = problemOf(text);
  if (problem !== undefined) yield { field: fieldPath(at), message: `'${text.slice(0, 80)}' ${problem}` };
}

/** Upgrade requests and text messages are different things; one rule speaks of one of them. */
function* validateWebSocketRules({ rules, denyRules }: Endpoint, field: string): Generator<Violation> {
  for (const [list, all] of [
    ["rules", rules],
    ["deny_rules", denyRules],
  ] as const) {
    for (const [i, rule] of all.entries()) {
      const transport = rule.method !== "" || rule.path !== "" || Object.keys(rule.query).length > 0;
      if (transport && hasGraphqlFields(rule)) {
        yield { field: `${field}.${list}[${i}]`, message: "mixes method, path or query with GraphQL fields: make two rules" };
      }
    }
  }
  if ([...rules, ...denyRules].some(hasGraphqlFields) && rules.some(({ method }) => method.toUpperCase() === "WEBSOCKET_TEXT")) {
    yield { field: `${field}.rules`, message: "has GraphQL rules and a WEBSOCKET_TEXT rule: the second would let every message through" };
  }
}

export function hasGraphqlFields(rule: RequestRule): boolean {
  return rule.operationType !== "" || rule.operationName !== "" || rule.fields.length > 0;
}

function isEmptyRule(rule: RequestRule): boolean {
  return setFields(rule).length === 0;
}

function setFields(rule: RequestRule): RuleField[] {
  const set: Record<RuleField, boolean> = {
    method: rule.method !== "",
    path: rule.path !== "",
    command: rule.command !== "",
    query: Object.keys(rule.query).length > 0,
    operation_type: rule.operationType !== "",
    operation_name: rule.operationName !== "",
    fields: rule.fields.length > 0,
    params: Object.keys(rule.params).length > 0,
  };
  return (Object.keys(set) as RuleField[]).filter((name) => set[name]);
}
