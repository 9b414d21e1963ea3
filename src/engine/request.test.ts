import { describe, expect, test } from "bun:test";
import { parsePolicyYaml } from "../policy/yaml.ts";
import type { HttpFacts, RequestFacts } from "./decision.ts";
import { explainRequest } from "./explain-request.ts";
import { PolicyEngine } from "./policy-engine.ts";

const parse = (text: string) => parsePolicyYaml(text, { source: "test" });

const policy = parse(`
version: 1
network_policies:
  github:
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        enforcement: enforce
        access: full
        deny_rules: [{method: DELETE}, {path: "/admin/**", query: {force: {any: ["1", "yes"]}}}]
    binaries: [{path: /usr/bin/curl, self_only: true}]
  shell:
    endpoints: [{host: plain.example.com, port: 443}]
    binaries: [{path: /usr/bin/curl}]
  gql:
    endpoints:
      - {host: gql.example.com, port: 443, protocol: graphql, enforcement: enforce, access: read-only, graphql_max_body_bytes: 1000}
      - {host: mcp.example.com, port: 443, protocol: mcp, enforcement: enforce, rules: [{allow: {method: tools/call, tool: ls}}]}
      - {host: ws.example.com, port: 443, protocol: websocket, enforcement: audit, access: read-only}
    binaries: [{path: /usr/bin/curl}]
`);

function loaded(from = policy) {
  const engine = new PolicyEngine();
  engine.load(from);
  return engine;
}

const http = (method: string, path: string, more: Partial<HttpFacts> = {}): RequestFacts => ({
  kind: "http",
  method,
  path,
  query: {},
  upgrade: "",
  ...more,
});
const at = (request: RequestFacts, host = "api.github.com", exe = "/usr/bin/curl") => ({ host, port: 443, exe, ancestors: [], request });

describe("requests", () => {
  test("an allowed one names its rule and its endpoint", () => {
    expect(loaded().decideRequest(at(http("POST", "/x")))).toEqual({
      action: "allow",
      reason: "",
      policy: "github",
      endpointId: "github/0",
      endpoint: policy.networkPolicies["github"]!.endpoints[0]!,
      generation: 1,
    });
  });

  test("a refused one says why, and what is missing unless a deny rule speaks", () => {
    const engine = loaded();
    const denied = engine.decideRequest(at(http("delete", "/x")));
    expect(denied).toMatchObject({ action: "deny", code: "request_denied", reason: "DELETE /x blocked by deny rule of policy 'github'" });
    expect(denied.ruleMissing).toBeUndefined();
    const missing = engine.decideRequest(
      at(http("GET", "/x", { graphql: [{ type: "mutation", name: "", fields: ["add"] }] }), "gql.example.com"),
    );
    expect(missing).toMatchObject({
      code: "request_not_allowed",
      reason: "GET /x (mutation add) not permitted by policy 'gql'",
      ruleMissing: {
        type: "graphql_allow",
        layer: "l7",
        method: "GET",
        path: "/x",
        host: "gql.example.com",
        port: 443,
        binary: "/usr/bin/curl",
      },
    });
  });

  test("a connection that is refused refuses its requests", () => {
    expect(loaded().decideRequest(at(http("GET", "/x"), "other.example.com"))).toMatchObject({ action: "deny", code: "host_not_allowed" });
    expect(loaded().decideRequest(at(http("GET", "/x"), "api.github.com", "/usr/bin/wget"))).toMatchObject({
      action: "deny",
      code: "binary_not_allowed",
    });
    expect(new PolicyEngine().decideRequest(at(http("GET", "/x")))).toMatchObject({ action: "deny", code: "no_policies" });
  });

  test("what a plain connection carries is allowed", () => {
    expect(loaded().decideRequest(at(http("DELETE", "/x"), "plain.example.com"))).toMatchObject({ action: "allow", endpointId: "shell/0" });
  });

  test("case-73: a new policy counts from the next request on", () => {
    const engine = loaded();
    expect(engine.decideRequest(at(http("POST", "/x"))).action).toBe("allow");
    engine.load(parse("version: 1\n"));
    expect(engine.decideRequest(at(http("POST", "/x")))).toMatchObject({ action: "deny", code: "no_policies", generation: 2 });
  });

  test("bodies are asked for with their limit, and decided", () => {
    const engine = loaded();
    expect(engine.decideRequest(at(http("POST", "/graphql"), "gql.example.com"))).toMatchObject({
      action: "deny",
      code: "body_needed",
      needs: { protocol: "graphql", maxBodyBytes: 1000 },
    });
    expect(engine.decideRequest(at(http("POST", "/"), "mcp.example.com")).needs).toEqual({ protocol: "mcp", maxBodyBytes: 65_536 });
    const call = (name: string) =>
      engine.decideRequest(at(http("POST", "/", { rpc: [{ method: "tools/call", name }] }), "mcp.example.com"));
    expect(call("ls").action).toBe("allow");
    expect(call("rm")).toMatchObject({ action: "deny", reason: "POST / (tools/call rm) not permitted by policy 'gql'" });
  });

  test("case-58: what an endpoint only audits is let through", () => {
    const message = at({ kind: "websocket_text", path: "/chat", query: {} }, "ws.example.com");
    expect(loaded().decideRequest(message)).toMatchObject({ action: "audit", ruleMissing: { method: "WEBSOCKET_TEXT" } });
  });

  test("case-65 a deny rule holds for a path with escapes that it could do without", () => {
    const guarded = parse(`
version: 1
network_policies:
  a:
    endpoints:
      - host: a.example.com
        port: 443
        protocol: rest
        enforcement: enforce
        access: full
        allow_encoded_slash: true
        deny_rules: [{path: "/users/@me/**"}, {method: POST, path: "/v1/*:delete"}]
    binaries: [{path: /usr/bin/curl}]
`);
    const engine = loaded(guarded);
    const answer = (method: string, path: string) => engine.decideRequest(at(http(method, path), "a.example.com"));
    for (const path of ["/users/@me/keys", "/users/%40me/keys", "/users/%40me/%24x"])
      expect(answer("GET", path)).toMatchObject({ action: "deny", code: "request_denied" });
    expect(answer("POST", "/v1/x%3Adelete").code).toBe("request_denied");
    for (const path of ["/users/%40you/keys", "/users%2F%40me%2Fkeys", "/v1/x%3Adelete"]) expect(answer("GET", path).action).toBe("allow");
  });

  test("threat-23 a narrow endpoint governs its paths with escapes that they could do without, whatever a wider one allows", () => {
    const scoped = (selector: string) => `
version: 1
network_policies:
  narrow:
    endpoints: [{host: a.example.com, port: 443, protocol: rest, enforcement: enforce, access: read-only, path: "${selector}"}]
    binaries: [{path: /usr/bin/curl}]
  wide:
    endpoints: [{host: a.example.com, port: 443, protocol: rest, enforcement: enforce, access: full, path: "/**"}]
    binaries: [{path: /usr/bin/curl}]
`;
    for (const selector of ["/x@y/**", "/x@?/k*", "/x[@]y/*"]) {
      const engine = loaded(parse(scoped(selector)));
      const answer = (method: string, path: string) => engine.decideRequest(at(http(method, path), "a.example.com"));
      for (const path of ["/x@y/keys", "/x%40y/keys"]) {
        expect(answer("POST", path)).toMatchObject({ action: "deny", code: "request_not_allowed", policy: "narrow" });
        expect(answer("GET", path)).toMatchObject({ action: "allow", policy: "narrow" });
      }
      expect(answer("POST", "/x%40/keys")).toMatchObject({ action: "allow", policy: "wide" });
    }
    for (const selector of ["/x%40y/**", "/ü/**", "/a//b", "/%7Eroot/**", "/a/../b"]) expect(() => parse(scoped(selector))).toThrow();
  });

  test("threat-23 a deny rule about the query holds where servers take a semicolon for a separator; an allow rule does not", () => {
    const rules = parse(`
version: 1
network_policies:
  a:
    endpoints:
      - host: a.example.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{allow: {method: GET, path: "/free/**"}}, {allow: {method: GET, path: "/named/**", query: {mode: "safe"}}}]
        deny_rules: [{path: "/free/@all/**", query: {force: "1*"}}]
    binaries: [{path: /usr/bin/curl}]
`);
    const engine = loaded(rules);
    const read = (query: string, separator: RegExp) => {
      const values: Record<string, string[]> = {};
      for (const [name, value] of query.split(separator).map((pair) => pair.split("=").map(decodeURIComponent)))
        values[name ?? ""] = [...(values[name ?? ""] ?? []), value ?? ""];
      return values;
    };
    const answer = (path: string, query: string) => {
      const facts = { query: read(query, /&/), splitQuery: read(query, /[&;]/) };
      return engine.decideRequest(at(http("GET", path, facts), "a.example.com"));
    };
    for (const path of ["/free/@all/x", "/free/%40all/x"]) {
      for (const query of ["x=1;force=1", "force=1;x=2", ";force=1", "x;%66orce=1"])
        expect(answer(path, query)).toMatchObject({ action: "deny", code: "request_denied" });
      for (const query of ["x=1%3Bforce=1", "force=2;x=1", "x=force;y=1"]) expect(answer(path, query).action).toBe("allow");
    }
    expect(answer("/named/x", "mode=safe").action).toBe("allow");
    expect(answer("/named/x", "x=1;mode=safe").code).toBe("request_not_allowed");
    expect(answer("/named/x", "mode=safe;mode=other").code).toBe("request_not_allowed");
  });

  test("names of the prototype are names like others", () => {
    const guarded = parse(`
version: 1
network_policies:
  a:
    endpoints: [{host: a.example.com, port: 443, protocol: rest, enforcement: enforce, access: full, deny_rules: [{query: {constructor_: x, toString: "1"}}]}]
    binaries: [{path: /usr/bin/curl}]
`);
    const query = Object.fromEntries([
      ["constructor_", ["x"]],
      ["toString", ["1"]],
      ["__proto__", ["y"]],
    ]);
    expect(loaded(guarded).decideRequest(at(http("GET", "/", { query }), "a.example.com")).code).toBe("request_denied");
    expect(loaded(guarded).decideRequest(at(http("GET", "/"), "a.example.com")).action).toBe("allow");
  });
});

describe("malformed requests are refused, whatever the rules allow", () => {
  const wrong: [string, unknown][] = [
    ["nothing", undefined],
    ["null", null],
    ["another kind", { kind: "ftp" }],
    ["no method", http("", "/x")],
    ["a method with a space", http("GET /", "/x")],
    ["a method that is a message", http("WEBSOCKET_TEXT", "/x")],
    ["a path that is no path", http("GET", "x")],
    ["a path that is not canonical", http("GET", "/a//b")],
    ["a path with an escaped slash in lower case", http("GET", "/a%2fb")],
    ["a path with raw bytes", http("GET", "/é")],
    ["a path with a lone surrogate", http("GET", "/\ud800")],
    ["a path with NUL", http("GET", "/\0")],
    ["a path that is too long", http("GET", `/${"a".repeat(4096)}`)],
    ["a path with too many segments", http("GET", "/a".repeat(257))],
    ["no query", http("GET", "/x", { query: undefined as never })],
    ["a query without lists", http("GET", "/x", { query: { a: "b" } as never })],
    ["a query with an empty list", http("GET", "/x", { query: { a: [] } })],
    ["a query that is a list", http("GET", "/x", { query: [] as never })],
    ["a lone surrogate in a value", http("GET", "/x", { query: { a: ["\udc00"] } })],
    ["a lone surrogate in a name", http("GET", "/x", { query: { "\udc00": ["a"] } })],
    ["NUL in a value", http("GET", "/x", { query: { force: ["1\0"] } })],
    ["a query that is too long", http("GET", "/x", { query: { a: ["b".repeat(20_000)] } })],
    ["another upgrade", http("GET", "/x", { upgrade: "h2c" as never })],
    ["an upgrade that is no GET", http("POST", "/x", { upgrade: "websocket" })],
    ["operations of another shape", http("POST", "/x", { graphql: [{ type: "query" }] as never })],
    ["a lone surrogate in a field", http("POST", "/x", { graphql: [{ type: "query", name: "", fields: ["\ud800"] }] })],
    ["too many calls", http("POST", "/x", { rpc: Array(257).fill({ method: "x" }) })],
    ["calls that are too long", http("POST", "/x", { rpc: [{ method: "x".repeat(70_000) }] })],
    ["more than is known", { ...http("GET", "/x"), body: "" }],
    ["a message without path", { kind: "websocket_text", query: {} }],
    ["a statement without word", { kind: "sql", command: "" }],
  ];
  test.each(wrong)("%s", (_, request) => {
    expect(loaded().decideRequest(at(request as RequestFacts))).toMatchObject({ action: "deny", code: "malformed" });
  });
});

describe("failures of the wasm", () => {
  const instanceOf = (engine: PolicyEngine) =>
    (engine as unknown as { current: { instance: { evaluate: (entrypoint: string, input: string) => unknown } | undefined } }).current;

  test("a throw refuses, and the next request has a new instance", () => {
    const engine = loaded();
    const generation = instanceOf(engine);
    engine.decide(at(http("GET", "/x")));
    generation.instance!.evaluate = () => {
      throw new Error("boom");
    };
    expect(engine.decideRequest(at(http("GET", "/x")))).toMatchObject({ action: "deny", code: "engine_failure" });
    expect(engine.decideRequest(at(http("GET", "/x")))).toMatchObject({ action: "allow" });
  });

  test.each([
    undefined,
    null,
    {},
    { action: "allow" },
    { action: "audit", code: "malformed" },
    { action: "audit", code: "body_needed", endpoint: ["github", 0] },
    { action: "allow", endpoint: ["shell", 0] },
    { action: "deny", code: "body_needed", endpoint: ["github", 0] },
  ])("an answer of another shape refuses: %p", (answer) => {
    const engine = loaded();
    engine.decide(at(http("GET", "/x")));
    instanceOf(engine).instance!.evaluate = () => answer;
    expect(engine.decideRequest(at(http("GET", "/x")))).toMatchObject({ action: "deny", code: "engine_failure" });
  });

  test("memory stays flat over long requests", () => {
    const engine = loaded();
    const ask = (i: number) =>
      engine.decideRequest(at(http("GET", `/${"abcdefghijk/".repeat(250)}${i}`, { query: { force: ["x".repeat(8000), `${i}`] } })));
    ask(0);
    const { instance } = instanceOf(engine) as unknown as { instance: { pages: number } };
    const before = instance.pages;
    for (let i = 0; i < 300; i++) ask(i);
    expect(instance.pages).toBe(before);
  });
});

describe("explain", () => {
  test("says what allows, audits or refuses a request", () => {
    const lines = (request: RequestFacts, host?: string) => explainRequest(policy, at(request, host)).lines;
    expect(lines(http("POST", "/x"))[0]).toBe("allowed: POST /x by endpoint github/0");
    expect(lines(http("DELETE", "/x")).slice(0, 2)).toEqual([
      "not allowed: DELETE /x blocked by deny rule of policy 'github'",
      "a deny rule of endpoint github/0 names it: no allow rule overrides that",
    ]);
    expect(lines(http("POST", "/x"), "ws.example.com")[0]).toBe(
      "let through and logged (enforcement: audit): POST /x not permitted by policy 'gql'",
    );
    expect(lines(http("POST", "/x"), "plain.example.com")[0]).toContain("not inspected");
    expect(lines(http("POST", "/x"), "other.example.com")[0]).toContain("not allowed: endpoint other.example.com:443");
    expect(lines(http("GET", "//"))[1]).toContain("no //");
  });
});
