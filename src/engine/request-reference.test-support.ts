import { emptyEndpoint, emptyRequestRule } from "../policy/defaults.ts";
import type { Dice } from "../policy/dice.test-support.ts";
import type { Endpoint, Matcher, Policy, Protocol, RequestRule } from "../policy/model.ts";
import type { GraphqlFacts, HttpFacts, QueryFacts, RequestFacts, RequestQuery, RpcFacts } from "./decision.ts";
import { referenceDecision } from "./reference.test-support.ts";

/**
 * The semantics of request rules once more, slow and without an index: patterns as regular expressions, presets as lists, no shared code with the
 * rego rules. Written from the policy reference.
 */
export function referenceRequest(policy: Policy, query: RequestQuery): { action: string; code?: string | undefined; id?: string } {
  const connection = referenceDecision(policy, query);
  if (!connection.allowed) return { action: "deny", code: connection.code };
  const matched = (connection.ids ?? []).map((id) => {
    const at = id.lastIndexOf("/");
    const endpoints = policy.networkPolicies[id.slice(0, at)]?.endpoints ?? [];
    return { id, endpoint: first(endpoints.slice(Number(id.slice(at + 1)))) };
  });
  type Matched = (typeof matched)[number];
  const { request } = query;
  const inspecting = matched.filter(({ endpoint }) => endpoint.protocol !== "" && endpoint.protocol !== "tcp");
  if (inspecting.length === 0) return { action: "allow", id: first(matched).id };
  const end = (code: string, reasons: Matched[], deciding: Matched[]) => ({
    action: deciding.some(({ endpoint }) => endpoint.enforcement === "enforce") ? "deny" : "audit",
    code,
    id: first(reasons).id,
  });
  const covering = inspecting.filter(({ endpoint }) => {
    if (request.kind === "sql" || endpoint.protocol === "sql") return request.kind === "sql" && endpoint.protocol === "sql";
    if (request.kind === "websocket_text" && !["rest", "websocket"].includes(endpoint.protocol)) return false;
    return selects(endpoint.path, request.path);
  });
  if (covering.length === 0) return end("path_not_covered", inspecting, inspecting);
  const weight = ({ endpoint }: Matched) => endpoint.path.replaceAll("*", "").length;
  const most = Math.max(...covering.map(weight));
  const governing = covering.filter((one) => weight(one) === most);
  if (new Set(governing.map(({ endpoint }) => endpoint.protocol)).size > 1) return end("protocol_ambiguous", governing, governing);
  const denying = covering.filter(({ endpoint }) => endpoint.denyRules.some((rule) => denies(rule, endpoint, request)));
  if (denying.length > 0) return end("request_denied", denying, [...denying, ...governing]);
  if (request.kind !== "sql" && request.path.includes("%2F") && governing.some(({ endpoint }) => !endpoint.allowEncodedSlash))
    return end("encoded_slash", governing, governing);
  const { protocol } = first(governing).endpoint;
  if (request.kind === "http" && request.upgrade === "" && lacksBody(protocol, request))
    return { action: "deny", code: "body_needed", id: first(governing).id };
  const allowing = governing.filter(({ endpoint }) => allows(endpoint, request));
  if (allowing.length > 0) return { action: "allow", id: first(allowing).id };
  return end("request_not_allowed", governing, governing);
}

function first<T>(list: readonly T[]): T {
  const [head] = list;
  if (head === undefined) throw new Error("nothing here");
  return head;
}

const valuesOf = ({ query }: { query: QueryFacts }, name: string) => (Object.hasOwn(query, name) ? (query[name] ?? []) : []);
const all = <T>(list: readonly T[] | undefined, test: (item: T) => boolean) => list !== undefined && list.length > 0 && list.every(test);

function lacksBody(protocol: Protocol, { method, graphql, rpc }: HttpFacts): boolean {
  const verb = method.toUpperCase();
  if (protocol === "graphql") return graphql === undefined && (verb === "GET" || verb === "POST");
  if (protocol === "json-rpc" || protocol === "mcp") return rpc === undefined && verb === "POST";
  return false;
}

/** Free patterns, as regular expressions. */
function free(pattern: string, text: string): boolean {
  const source = pattern.replace(/\[(!?)([^\]]*)\]|\*+|\?|[\s\S]/gu, (token, not, set) => {
    if (set !== undefined) return `[${not ? "^" : ""}${set.replace(/[\\\]^]/g, "\\$&")}]`;
    if (token.startsWith("*")) return "[\\s\\S]*";
    if (token === "?") return "[\\s\\S]";
    return token.replace(/[.+^${}()|\\/]/g, "\\$&");
  });
  return new RegExp(`^${source}$`, "u").test(text);
}

function pathMatches(pattern: string, path: string): boolean {
  if (pattern === "" || pattern === "**") return true;
  const source = pattern
    .split("/")
    .map((segment) => (segment === "**" ? ".*" : segment.replace(/[.+^${}()|[\]\\?]/g, "\\$&").replaceAll("*", "[^/]*")))
    .join("/");
  return new RegExp(`^${source}$`).test(path);
}

function selects(selector: string, path: string): boolean {
  if (selector === "" || selector === "**") return true;
  const base = selector.endsWith("/**") ? selector.slice(0, -3) : undefined;
  return free(selector, path) || (base !== undefined && !/[*?[]/.test(base) && path === base);
}

const globs = (matcher: Matcher) => ("glob" in matcher ? [matcher.glob] : matcher.any);
const some = (matcher: Matcher, text: string) => globs(matcher).some((glob) => free(glob, text));

function methodMatches(rule: RequestRule, method: string): boolean {
  const wanted = rule.method.toUpperCase();
  return wanted === "" || wanted === "*" || wanted === method || (wanted === "GET" && method === "HEAD");
}

const speaksOfOperations = (rule: RequestRule) => rule.operationType !== "" || rule.operationName !== "" || rule.fields.length > 0;

function words(endpoint: Endpoint, request: RequestFacts): string[] {
  if (request.kind === "sql") return [];
  if (request.kind === "websocket_text") return ["WEBSOCKET_TEXT"];
  const method = request.method.toUpperCase();
  return endpoint.protocol === "rest" && request.upgrade === "websocket" ? [method, "WEBSOCKET_TEXT"] : [method];
}

function resolve(endpoint: Endpoint, operation: GraphqlFacts): { type: string; name: string; fields: readonly string[] } | undefined {
  if (!("persisted" in operation)) return operation;
  const stored = endpoint.persistedQueries === "allow_registered" ? endpoint.graphqlPersistedQueries[operation.persisted] : undefined;
  if (stored === undefined || !["query", "mutation", "subscription"].includes(stored.operationType)) return undefined;
  return { type: stored.operationType, name: stored.operationName, fields: stored.fields };
}

function denies(rule: RequestRule, endpoint: Endpoint, request: RequestFacts): boolean {
  const { protocol } = endpoint;
  if (request.kind === "sql") return free(rule.command.toUpperCase() || "*", request.command.toUpperCase());
  if (protocol === "graphql" || (protocol === "websocket" && speaksOfOperations(rule))) {
    return (request.graphql ?? []).some((operation) => {
      const known = resolve(endpoint, operation);
      if (known === undefined) return true;
      if (rule.operationType !== "*" && rule.operationType !== known.type) return false;
      if (rule.operationName !== "" && !free(rule.operationName, known.name)) return false;
      return rule.fields.length === 0 || known.fields.some((field) => rule.fields.some((glob) => free(glob, field)));
    });
  }
  if (protocol === "json-rpc" || protocol === "mcp") {
    const calls = request.kind === "http" ? (request.rpc ?? []) : [];
    return calls.some((call) => {
      if ("response" in call || !callMethod(rule, protocol, call.method, true)) return false;
      return Object.values(rule.params).every((matcher) => call.name === undefined || some(matcher, call.name));
    });
  }
  if (!words(endpoint, request).some((word) => methodMatches(rule, word)) || !pathMatches(rule.path, request.path)) return false;
  return Object.entries(rule.query).every(([name, matcher]) => valuesOf(request, name).some((value) => some(matcher, value)));
}

function callMethod(rule: RequestRule, protocol: Protocol, method: string, anyCase: boolean): boolean {
  const wanted = rule.method || (Object.keys(rule.params).length > 0 ? "tools/call" : "*");
  const [pattern, text] = anyCase ? [wanted.toLowerCase(), method.toLowerCase()] : [wanted, method];
  return protocol === "mcp" ? free(pattern, text) : pattern === "*" || pattern === text;
}

const PRESETS: Record<string, Record<string, string[]>> = {
  rest: { "read-only": ["GET", "HEAD", "OPTIONS"], "read-write": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "WEBSOCKET_TEXT"] },
  websocket: { "read-only": ["GET"], "read-write": ["GET", "WEBSOCKET_TEXT"] },
  graphql: { "read-only": ["query"], "read-write": ["query", "mutation"] },
};

function allowRules({ protocol, access, rules }: Endpoint): RequestRule[] {
  const field = protocol === "graphql" ? "operationType" : protocol === "sql" ? "command" : "method";
  const listed = access === "" ? [] : access === "full" ? ["*"] : (PRESETS[protocol]?.[access] ?? []);
  const all = [...listed.map((word) => ({ ...emptyRequestRule, [field]: word })), ...rules];
  return all.filter((rule) => !Bun.deepEquals(rule, emptyRequestRule));
}

function allows(endpoint: Endpoint, request: RequestFacts): boolean {
  const { protocol } = endpoint;
  const rules = allowRules(endpoint);
  if (request.kind === "sql") return rules.some((rule) => free(rule.command.toUpperCase() || "*", request.command.toUpperCase()));
  const head = (word: string) =>
    rules.some(
      (rule) =>
        !speaksOfOperations(rule) &&
        methodMatches(rule, word) &&
        pathMatches(rule.path, request.path) &&
        Object.entries(rule.query).every(([name, matcher]) => {
          const values = valuesOf(request, name);
          return values.length > 0 && values.every((value) => some(matcher, value));
        }),
    );
  const operation = (facts: GraphqlFacts) => {
    const known = resolve(endpoint, facts);
    if (known === undefined) return false;
    return rules.some(
      (rule) =>
        (protocol === "graphql" || speaksOfOperations(rule)) &&
        (rule.operationType === "*" || rule.operationType === known.type) &&
        (rule.operationName === "" || free(rule.operationName, known.name)) &&
        (rule.fields.length === 0 ||
          (known.fields.length > 0 && known.fields.every((field) => rule.fields.some((glob) => free(glob, field))))),
    );
  };
  if (protocol === "rest") {
    // Whoever may open a connection for credentials in messages may send the messages.
    const opaque = endpoint.websocketCredentialRewrite;
    if (opaque && request.kind === "websocket_text") return head("GET");
    return words(endpoint, request).every((word) => (opaque && word === "WEBSOCKET_TEXT") || head(word));
  }
  if (protocol === "websocket") {
    const reads = [...rules, ...endpoint.denyRules].some(speaksOfOperations);
    if (request.kind === "http" || !reads) return words(endpoint, request).every(head);
    const byOperation = rules.some(speaksOfOperations);
    return request.graphql?.every((facts) => (byOperation ? operation(facts) : head("WEBSOCKET_TEXT"))) ?? false;
  }
  if (request.kind !== "http" || request.upgrade !== "") return false;
  const verb = request.method.toUpperCase();
  if (protocol === "graphql") return (verb === "GET" || verb === "POST") && all(request.graphql, operation);
  if (protocol === "mcp" && verb === "GET") return request.rpc === undefined;
  return verb === "POST" && all(request.rpc, (call) => allowsCall(endpoint, rules, call));
}

const KNOWN = ["initialize", "tools/list", "resources/read"];

function allowsCall(endpoint: Endpoint, rules: RequestRule[], call: RpcFacts): boolean {
  if ("response" in call) return endpoint.protocol === "mcp";
  if (endpoint.protocol === "mcp" && call.method.toLowerCase() === "tools/call") {
    if (call.method !== "tools/call" || call.name === undefined || call.name === "") return false;
    if ((endpoint.mcp?.strictToolNames ?? true) && !/^[A-Za-z0-9_.-]{1,128}$/.test(call.name)) return false;
    if (endpoint.mcp?.allowAllKnownMcpMethods && rules.length === 0) return true;
  } else if (endpoint.mcp?.allowAllKnownMcpMethods && KNOWN.includes(call.method)) return true;
  return rules.some(
    (rule) =>
      callMethod(rule, endpoint.protocol, call.method, false) &&
      Object.values(rule.params).every((matcher) => call.name !== undefined && some(matcher, call.name)),
  );
}

// --- random policies and requests over few words, so that they meet often

const PATHS = [
  "**",
  "/",
  "/a",
  "/a/*",
  "/a/**",
  "/**/b",
  "/a/**/b",
  "/**/a/**",
  "/a*",
  "/*a/b",
  "/a/**/b/**",
  "/**/a/**/b/**",
  "/a*b*c/**",
  "/*",
];
const TEXTS = ["a", "*", "a*", "*b", "a*b", "?", "[a-c]*", "[!a]", "*a*b*", "é*", "b?", "**", "*[0-9]*"];
const VALUES = ["", "a", "b", "ab", "axb", "ba", "c", "xaxbx", "é", "éa", "b1", "\u{1f600}", "a\nb"];
const SELECTORS = ["", "", "", "**", "/a/**", "/a/b/**", "/*", "/a*", "/[ab]/**", "/b"];
const REQUEST_PATHS = [
  ...["/", "/a", "/b", "/a/", "/a/b", "/a/b/c", "/a/x/b", "/x/a/y/b/z", "/ab", "/xa/b", "/axbyc/d", "/a/b/", "/b/a", "/a%2Fb", "/a/b/a/b"],
];
const METHODS = ["GET", "get", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"];
const RPC = ["initialize", "tools/call", "Tools/Call", "tools/list", "x", "vendor/x"];
const COMMANDS = ["SELECT", "insert", "DROP"];
const TYPES = ["query", "mutation", "subscription"] as const;

/** A policy of inspected and plain endpoints on one host; about half of them are valid. */
export function randomRequestPolicy(dice: Dice): Policy {
  const enforcement = dice.pick(["enforce", "enforce", "audit"] as const);
  const common = dice.pick<Protocol>(["rest", "rest", "rest", "websocket", "graphql", "json-rpc", "mcp", "sql"]);
  const keys = [...new Set(["r", ...dice.some(2, () => dice.pick(["a/1", "b", "é"]))])];
  const rule = (key: string) => ({
    name: key,
    endpoints: [0, ...dice.some(2, () => 0)].map(() =>
      dice.below(8) === 0 ? plain() : randomEndpoint(dice, dice.below(4) === 0 ? "rest" : common, enforcement),
    ),
    binaries: [{ path: dice.pick(["/bin/a", "/bin/b", "/bin/*"]), selfOnly: dice.below(2) === 0 }],
  });
  return { version: 1, networkPolicies: Object.fromEntries(keys.map((key) => [key, rule(key)])) };
}

const plain = (): Endpoint => ({ ...emptyEndpoint, host: "a.ex.com", ports: [443] });

function randomEndpoint(dice: Dice, protocol: Protocol, enforcement: "enforce" | "audit"): Endpoint {
  const rpc = protocol === "json-rpc" || protocol === "mcp";
  const preset = !rpc && dice.below(3) === 0;
  const rules = [0, ...dice.some(2, () => 0)].map(() => randomRule(dice, protocol));
  const allowAll = protocol === "mcp" && dice.below(2) === 0;
  return {
    ...plain(),
    protocol,
    enforcement: protocol === "sql" ? "audit" : enforcement,
    access: preset ? dice.pick(protocol === "sql" ? (["full"] as const) : (["read-only", "read-write", "full"] as const)) : "",
    rules: preset || (allowAll && dice.below(2) === 0) ? [] : rules,
    denyRules: dice.below(3) === 0 ? [randomRule(dice, protocol)] : [],
    path: dice.pick(SELECTORS),
    allowEncodedSlash: dice.below(8) === 0,
    websocketCredentialRewrite: (protocol === "rest" || protocol === "websocket") && dice.below(6) === 0,
    ...(protocol === "mcp" && { mcp: { strictToolNames: true, allowAllKnownMcpMethods: allowAll } }),
    ...(protocol === "graphql" && {
      persistedQueries: dice.pick(["allow_registered", "deny"]),
      graphqlPersistedQueries: { p: { operationType: dice.pick(["query", "mutation"]), operationName: "a", fields: ["a"] } },
    }),
  };
}

const randomMatcher = (dice: Dice): Matcher =>
  dice.below(2) === 0 ? { glob: dice.pick(TEXTS) } : { any: [dice.pick(TEXTS), dice.pick(TEXTS)] };

function randomRule(dice: Dice, protocol: Protocol): RequestRule {
  const sometimes = <T>(make: () => T, otherwise: T) => (dice.below(2) === 0 ? make() : otherwise);
  const operations = () => ({
    operationType: dice.pick([...TYPES, "*"]),
    operationName: dice.below(4) === 0 ? dice.pick(TEXTS) : "",
    fields: sometimes(() => [dice.pick(TEXTS)], []),
  });
  const head = (methods: string[]) => ({
    method: sometimes(() => dice.pick(methods), ""),
    path: sometimes(() => dice.pick(PATHS), ""),
    query: dice.below(3) === 0 ? { [dice.pick(["q", "p", "__proto__x"])]: randomMatcher(dice) } : {},
  });
  switch (protocol) {
    case "websocket":
      return { ...emptyRequestRule, ...(dice.below(3) === 0 ? operations() : head([...METHODS, "WEBSOCKET_TEXT", "*"])) };
    case "graphql":
      return { ...emptyRequestRule, ...operations() };
    case "sql":
      return { ...emptyRequestRule, command: dice.pick([...COMMANDS, "*", "S*"]) };
    case "json-rpc":
      return { ...emptyRequestRule, method: dice.pick([...RPC, "*"]) };
    case "mcp":
      return dice.below(2) === 0
        ? { ...emptyRequestRule, method: "tools/call", params: { name: randomMatcher(dice) } }
        : { ...emptyRequestRule, method: dice.pick(["initialize", "tools/*", "x", "tools/[a-l]*"]) };
    default:
      return { ...emptyRequestRule, ...head([...METHODS, "*", "WEBSOCKET_TEXT"]) };
  }
}

export function randomRequest(dice: Dice): RequestQuery {
  return {
    host: "a.ex.com",
    port: 443,
    exe: dice.pick(["/bin/a", "/bin/b"]),
    ancestors: dice.some(1, () => "/bin/b"),
    request: facts(dice),
  };
}

function facts(dice: Dice): RequestFacts {
  const path = dice.pick(REQUEST_PATHS);
  const query = Object.fromEntries(
    dice.some(2, () => 0).map(() => [dice.pick(["q", "p", "__proto__x"]), [dice.pick(VALUES), ...dice.some(1, () => dice.pick(VALUES))]]),
  );
  const graphql = () =>
    dice.some(
      2,
      (): GraphqlFacts =>
        dice.below(4) === 0
          ? { persisted: dice.pick(["p", "q"]) }
          : { type: dice.pick(TYPES), name: dice.pick(["", "a", "ab"]), fields: dice.some(2, () => dice.pick(["a", "b", "ab"])) },
    );
  const calls = () =>
    dice.some(2, (): RpcFacts => {
      if (dice.below(6) === 0) return { response: true };
      const method = dice.pick(RPC);
      return dice.below(2) === 0 ? { method } : { method, name: dice.pick(VALUES) };
    });
  const kind = dice.below(10);
  if (kind === 0) return { kind: "sql", command: dice.pick(COMMANDS) };
  if (kind <= 2) return { kind: "websocket_text", path, query, ...(dice.below(2) === 0 && { graphql: graphql() }) };
  const upgrade = dice.below(6) === 0;
  return {
    kind: "http",
    method: upgrade ? "GET" : dice.pick(METHODS),
    path,
    query,
    upgrade: upgrade ? "websocket" : "",
    ...(dice.below(3) === 0 && { graphql: graphql() }),
    ...(dice.below(3) === 0 && { rpc: calls() }),
  };
}
