import { describe, expect, test } from "bun:test";
import { OpenShellError } from "../error.ts";
import { restrictiveDefault } from "../policy/defaults.ts";
import { parsePolicyYaml } from "../policy/yaml.ts";
import type { ConnectionQuery, HttpFacts } from "./decision.ts";
import { cacheKey, MAX_CACHED_DECISIONS, MAX_CACHED_REQUESTS, requestCacheKey } from "./decision-cache.ts";
import { explainConnection } from "./explain.ts";
import { PolicyEngine } from "./policy-engine.ts";

const parse = (text: string) => parsePolicyYaml(text, { source: "test" });

const github = parse(`
version: 1
network_policies:
  github:
    endpoints: [{host: API.github.com, port: 443}, {host: "*.example.com", ports: [80, 443]}]
    binaries: [{path: /usr/bin/curl}, {path: "/opt/tools/*"}]
`);

const ask = (query: Partial<ConnectionQuery> = {}): ConnectionQuery => ({
  host: "api.github.com",
  port: 443,
  exe: "/usr/bin/curl",
  ancestors: [],
  ...query,
});

function loaded(policy = github) {
  const engine = new PolicyEngine();
  engine.load(policy);
  return engine;
}

describe("decisions", () => {
  test("an allowed connection names its rule and its endpoints", () => {
    expect(loaded().decide(ask())).toEqual({
      allowed: true,
      policy: "github",
      endpoints: [{ id: "github/0", endpoint: github.networkPolicies["github"]!.endpoints[0]! }],
      generation: 1,
    });
    expect(loaded().decide(ask({ host: "x.example.com", port: 80, exe: "/opt/tools/x" }))).toMatchObject({
      endpoints: [{ id: "github/1" }],
    });
  });

  test("a refusal says what is missing", () => {
    const engine = loaded();
    expect(engine.decide(ask({ exe: "/usr/bin/python3" }))).toMatchObject({
      code: "binary_not_allowed",
      reason: "binary '/usr/bin/python3' not allowed in policy 'github'",
    });
    expect(engine.decide(ask({ port: 22 }))).toMatchObject({ code: "port_not_allowed", reason: expect.stringContaining("443") });
    expect(engine.decide(ask({ host: "evil.example" }))).toMatchObject({
      code: "host_not_allowed",
      reason: "endpoint evil.example:443 is not allowed by any policy",
    });
    expect(loaded(restrictiveDefault()).decide(ask())).toMatchObject({ code: "no_policies" });
  });

  test("before the first policy everything is refused", () => {
    const engine = new PolicyEngine();
    expect(engine.generation).toBe(0);
    expect(engine.decide(ask())).toMatchObject({ allowed: false, generation: 0 });
  });
});

describe("generations", () => {
  test("case-20: a policy that is refused leaves the old one in force", () => {
    const engine = loaded();
    const broken = {
      ...github,
      networkPolicies: { x: { ...github.networkPolicies["github"]!, binaries: [{ path: "/**/a/**", selfOnly: false }] } },
    };
    expect(() => engine.load(broken)).toThrow(OpenShellError);
    expect(engine.generation).toBe(1);
    expect(engine.decide(ask())).toMatchObject({ allowed: true, generation: 1 });
  });

  test("case-20: a policy that is too large as a whole is refused with a reason, by its size or by the memory it takes", () => {
    const engine = loaded();
    const rule = github.networkPolicies["github"]!;
    const endpoint = rule.endpoints[0]!;
    const large = (hosts: number, ports: number, binaries: number, tail: string) => ({
      ...github,
      networkPolicies: {
        x: {
          ...rule,
          endpoints: Array.from({ length: hosts }, (_, i) => ({
            ...endpoint,
            host: `*.h${i}.com`,
            ports: Array.from({ length: ports }, (_, p) => p + 1),
          })),
          binaries: Array.from({ length: binaries }, (_, i) => ({ path: `/a/${i}${tail}`, selfOnly: false })),
        },
      },
    });
    for (const policy of [large(10, 2000, 200, ""), large(300, 1, 300, "/**")])
      expect(() => engine.load(policy)).toThrow("too large to be decided on");
    expect(engine.decide(ask())).toMatchObject({ allowed: true, generation: 1 });
  }, 60_000);

  test("a new policy takes the place of the old one at once", () => {
    const engine = loaded();
    expect(engine.decide(ask()).allowed).toBe(true);
    engine.load(restrictiveDefault());
    expect(engine.decide(ask())).toMatchObject({ allowed: false, generation: 2 });
  });
});

describe("malformed questions are refused", () => {
  const wrong: [string, Record<string, unknown>][] = [
    ["a lone surrogate in the path", { exe: "/usr/bin/\ud800" }],
    ["a lone surrogate in the host", { host: "\udc00.com" }],
    ["a lone surrogate in an ancestor", { ancestors: ["/\ud800"] }],
    ["a path that was not UTF-8", { exe: "/usr/bin/\ufffd" }],
    ["NUL", { exe: "/usr/bin/curl\0" }],
    ["a relative path", { exe: "curl" }],
    ["upper case", { host: "API.github.com" }],
    ["a trailing dot", { host: "api.github.com." }],
    ["no host", { host: "" }],
    ["no port", { port: 0 }],
    ["half a port", { port: 443.5 }],
    ["not a port", { port: Number.NaN }],
    ["a missing host", { host: undefined }],
    ["a missing path", { exe: undefined }],
    ["missing ancestors", { ancestors: undefined }],
    ["too many ancestors", { ancestors: Array(65).fill("/bin/sh") }],
    ["a chain of programs that is too long", { ancestors: Array(5).fill(`/${"a".repeat(4000)}`) }],
    ["a path that is too long", { exe: `/${"a".repeat(4096)}` }],
  ];
  test.each(wrong)("%s", (_, change) => {
    expect(loaded().decide({ ...ask(), ...change } as ConnectionQuery)).toMatchObject({ allowed: false, code: "malformed" });
  });
});

describe("failures of the wasm", () => {
  test("a throw refuses, and the next decision has a new instance", () => {
    const engine = loaded();
    const generation = (engine as unknown as { current: { instance: { evaluate: unknown } | undefined } }).current;
    const first = generation.instance;
    first!.evaluate = () => {
      throw new Error("boom");
    };
    expect(engine.decide(ask())).toMatchObject({ allowed: false, code: "engine_failure" });
    expect(engine.decide(ask())).toMatchObject({ allowed: true });
    expect(generation.instance).not.toBe(first);
  });

  test.each([
    undefined,
    null,
    {},
    { allow: true },
    { allow: true, policy: "github", endpoints: [] },
    { allow: true, policy: "github", endpoints: [["x", 0]] },
  ])("an answer of another shape refuses: %p", (answer) => {
    const engine = loaded();
    const generation = (engine as unknown as { current: { instance: { evaluate: unknown } | undefined } }).current;
    generation.instance!.evaluate = () => answer;
    expect(engine.decide(ask())).toMatchObject({ allowed: false, code: "engine_failure" });
  });
});

describe("the cache", () => {
  test("gives the same decision, and is bounded", () => {
    const engine = loaded();
    expect(engine.decide(ask())).toBe(engine.decide(ask()));
    for (let i = 0; i < MAX_CACHED_DECISIONS + 10; i++) engine.decide(ask({ host: `h${i}.other.example` }));
    expect((engine as unknown as { cache: { size: number } }).cache.size).toBe(MAX_CACHED_DECISIONS);
  });

  test("never confuses two questions", () => {
    const keys = [
      ask({ exe: "/a", ancestors: ["/b"] }),
      ask({ exe: "/a", ancestors: [] }),
      ask({ exe: "/a2:/b", ancestors: [] }),
      ask({ exe: "/a", ancestors: ["/b", "/c"] }),
      ask({ exe: "/a", ancestors: ["/b2:/c"] }),
      ask({ host: "a3:", exe: "/x" }),
    ].map(cacheKey);
    expect(new Set(keys).size).toBe(keys.length);
  });

  const rest = parse(`
version: 1
network_policies:
  api:
    endpoints: [{host: api.github.com, port: 443, protocol: rest, access: read-only, enforcement: enforce}]
    binaries: [{path: /usr/bin/curl}]
`);
  const request = (facts: Partial<HttpFacts> = {}) => ({
    ...ask(),
    request: { kind: "http", method: "GET", path: "/", query: {}, upgrade: "", ...facts } as const,
  });

  test("keeps requests apart from connections, and is bounded for them too", () => {
    const engine = loaded(rest);
    expect(engine.decideRequest(request())).toBe(engine.decideRequest(request()));
    expect(engine.decideRequest(request()).action).toBe("allow");
    expect(engine.decideRequest(request({ method: "POST" })).action).toBe("deny");
    for (let i = 0; i < MAX_CACHED_REQUESTS + 10; i++) engine.decideRequest(request({ path: `/${i}` }));
    const { cache, requests } = engine as unknown as Record<"cache" | "requests", { size: number }>;
    expect([cache.size, requests.size]).toEqual([1, MAX_CACHED_REQUESTS]);
  });

  test("asks the rules again about a request under a new policy", () => {
    const engine = loaded(rest);
    expect(engine.decideRequest(request()).action).toBe("allow");
    engine.load(github);
    const other = engine.decideRequest({ ...request(), exe: "/usr/bin/git" });
    expect([other.action, other.generation]).toEqual(["deny", 2]);
    engine.load(parse("version: 1\nnetwork_policies: {}"));
    expect(engine.decideRequest(request())).toMatchObject({ action: "deny", generation: 3 });
  });

  test("never confuses two requests", () => {
    const keys = [
      request(),
      request({ method: "HEAD" }),
      request({ path: "/a" }),
      request({ query: { a: ["b"] } }),
      request({ query: { a: ["b", ""] } }),
      request({ query: { a: [], b: [] } }),
      request({ query: { 'a":["b"],"b': [] } }),
      request({ upgrade: "websocket" }),
      request({ rpc: [{ method: "tools/call", name: "x" }] }),
      request({ rpc: [{ method: "tools/call" }, { method: "x" }] }),
      { ...request(), exe: "/usr/bin/git" },
    ].map(requestCacheKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("explain", () => {
  test("names rule, program and endpoint of an allowed connection", () => {
    expect(explainConnection(github, ask())).toMatchObject({
      via: { program: "executable", path: "/usr/bin/curl" },
      decision: { allowed: true },
    });
    expect(explainConnection(github, ask({ exe: "/usr/bin/git", ancestors: ["/bin/sh", "/opt/tools/x"] })).via).toEqual({
      program: "ancestor",
      path: "/opt/tools/x",
    });
  });

  test("says what is missing", () => {
    expect(explainConnection(github, ask({ exe: "/usr/bin/git" }))).toMatchObject({ missing: "binary" });
    expect(explainConnection(github, ask({ port: 22 }))).toMatchObject({ missing: "port" });
    expect(explainConnection(github, ask({ host: "evil.example" }))).toMatchObject({ missing: "host" });
    expect(explainConnection(restrictiveDefault(), ask())).toMatchObject({ missing: "policy" });
  });
});

test("threat-33: no rule opens anything to our own executable", () => {
  const engine = new PolicyEngine({ ownExecutables: ["/opt/tools/openshell"] });
  engine.load(github);
  expect(engine.decide(ask({ exe: "/opt/tools/other" })).allowed).toBe(true);
  expect(engine.decide(ask({ exe: "/opt/tools/openshell" }))).toMatchObject({ allowed: false, code: "binary_not_allowed" });
  expect(engine.decide(ask({ exe: "/usr/bin/wget", ancestors: ["/opt/tools/openshell"] })).allowed).toBe(false);
});
