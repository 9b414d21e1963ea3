import { describe, expect, test } from "bun:test";
import type { HttpEvent, RequestAsked } from "../../../events/event.ts";
import { ruleFromProto } from "../../../policy/proto.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { Aggregator } from "./aggregator.ts";
import { denialOf } from "./denial.ts";
import { COOL_DOWN_MS, MAX_EARLY_REPORTS } from "./limits.ts";
import { type Narrow, proposeRequests } from "./narrow.ts";

const policy = parsePolicyYaml(
  `
version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.test, port: 443, protocol: rest, access: read-only, enforcement: enforce, deny_rules: [{ method: POST, path: "/admin/**" }] }
      - { host: api.example.test, port: 443, path: /graphql, protocol: graphql, access: read-only, enforcement: enforce }
      - { host: mcp.example.test, port: 443, protocol: mcp, enforcement: enforce, rules: [{ allow: { method: tools/list } }] }
      - { host: rpc.example.test, port: 443, protocol: json-rpc, enforcement: enforce, rules: [{ allow: { method: eth_call } }] }
      - { host: ws.example.test, port: 443, protocol: websocket, access: read-only, enforcement: enforce }
      - { host: part.example.test, port: 443, path: "/v1/**", protocol: rest, access: full, enforcement: enforce }
    binaries: [{ path: /usr/bin/bash }]
`,
  { source: "test" },
);

/** What the gate tells of a refused request of curl, which bash has started. */
function refused(method: string, path: string, more: Partial<HttpEvent> = {}, asked: Partial<RequestAsked> = {}): HttpEvent {
  const host = more.host ?? "api.example.test";
  return {
    kind: "http",
    time: 1000,
    severity: "medium",
    action: "denied",
    actor: { binary: "/usr/bin/curl", pid: 7, ancestors: ["/usr/bin/bash"] },
    host,
    port: 443,
    engine: "l7",
    method,
    url: `https://${host}${path}`,
    stage: "l7_deny",
    code: "request_not_allowed",
    asked: { protocol: "rest", selector: "", ...asked },
    ...more,
  };
}

function propose(...events: HttpEvent[]): Narrow & { rules: unknown[]; endpoints: readonly unknown[] } {
  const aggregator = new Aggregator();
  for (const event of events) aggregator.observe(denialOf(event)!);
  const [emission] = aggregator.due(1000);
  const proposed = proposeRequests(emission!, policy);
  const rule = proposed.chunk?.proposedRule && ruleFromProto(proposed.chunk.proposedRule, "x");
  const endpoints = rule?.endpoints ?? [];
  const set = (value: unknown) => value !== "" && JSON.stringify(value) !== "{}" && JSON.stringify(value) !== "[]";
  const rules = endpoints.flatMap(({ rules: all }) => all.map((one) => Object.fromEntries(Object.entries(one).filter(([, v]) => set(v)))));
  return { ...proposed, rules, endpoints };
}

describe("a proposal for refused requests", () => {
  test("names method and path as they were, for the program alone, also where the policy speaks of who started it", () => {
    const { chunk, rules, problems } = propose(refused("post", "/repos/acme/issues"), refused("DELETE", "/keys/42"));
    expect(rules).toEqual([
      { method: "POST", path: "/repos/acme/issues" },
      { method: "DELETE", path: "/keys/*" },
    ]);
    expect(problems).toEqual([]);
    expect(chunk).toMatchObject({ stage: "refined", analysisMode: "mechanistic", binary: "/usr/bin/curl", hitCount: 2 });
    expect(chunk?.proposedRule?.endpoints).toMatchObject([
      { host: "api.example.test", ports: [443], protocol: "rest", enforcement: 1, access: 0 },
    ]);
    expect(chunk?.proposedRule?.binaries).toMatchObject([{ path: "/usr/bin/curl", selfOnly: true }]);
    expect(chunk?.rationale).toContain("adds exactly POST /repos/acme/issues, DELETE /keys/*, with any query, body and arguments");
  });

  test("holds no secret, of the path or the query", () => {
    const secret = "ghp_0123456789abcdefghij";
    const { chunk, rules } = propose(refused("POST", `/hooks/${secret}?key=${secret}`));
    expect(rules).toEqual([{ method: "POST", path: "/hooks/*" }]);
    expect(JSON.stringify(chunk, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain(secret);
    expect(propose(refused("POST", "/bot[CREDENTIAL]/send")).rules).toEqual([{ method: "POST", path: "/*/send" }]);
    expect(propose(refused("POST", `/${secret}`)).problems).toEqual(["POST /[REDACTED]: all of its path could be a secret"]);
  });

  const final: [string, HttpEvent, RegExp][] = [
    ["of a deny rule", refused("POST", "/admin/users", { code: "request_denied" }), /deny rule/],
    ["with an encoded slash", refused("POST", "/a%2Fb", { code: "encoded_slash" }), /encoded slash/],
    ["threat-04 with a pattern in its path", refused("POST", "/x/**"), /pattern/],
    ["threat-04 with a set in its path", refused("POST", "/x/[a-z]"), /pattern/],
    ["threat-04 with a method that is a pattern", refused("*", "/x"), /only GET/],
    ["of another method", refused("PROPFIND", "/x"), /only GET/],
    ["threat-19 with a path that is not printable", refused("POST", "/x/\u202e"), /shown/],
    ["with a path that nobody reads", refused("POST", `/${"x/".repeat(400)}`), /long/],
    ["that an added rule would not allow either", refused("POST", "/admin/x"), /deny rule of policy/],
    [
      "threat-04 of an operation whose field is no name",
      refused(
        "POST",
        "/graphql",
        {},
        { protocol: "graphql", selector: "/graphql", graphql: [{ type: "mutation", name: "", fields: ["a*"] }] },
      ),
      /no names/,
    ],
    [
      "threat-30 of an operation with more fields than anybody reads",
      refused(
        "POST",
        "/graphql",
        {},
        {
          protocol: "graphql",
          selector: "/graphql",
          graphql: [{ type: "query", name: "", fields: Array.from({ length: 1000 }, (_, i) => `field${i}`) }],
        },
      ),
      /^query \/graphql: its names are too many/,
    ],
    [
      "of a stored operation",
      refused("POST", "/graphql", {}, { protocol: "graphql", selector: "/graphql", graphql: [{ persisted: "ab12" }] }),
      /stored operation/,
    ],
    [
      "threat-04 of a tool with a pattern for a name",
      refused("POST", "/mcp", { host: "mcp.example.test" }, { protocol: "mcp", rpc: [{ method: "tools/call", name: "*" }] }),
      /no plain name/,
    ],
    [
      "of a tool whose name looks like a secret",
      refused(
        "POST",
        "/mcp",
        { host: "mcp.example.test" },
        { protocol: "mcp", rpc: [{ method: "tools/call", name: "sk-0123456789abcdef" }] },
      ),
      /looks like a secret/,
    ],
  ];
  for (const [name, event, why] of final) {
    test(`is not made for a request ${name}`, () => {
      const { chunk, problems } = propose(event);
      expect(chunk).toBeUndefined();
      expect(problems).toEqual([expect.stringMatching(why)]);
    });
  }

  test("GraphQL operations by type and fields, in an endpoint with the path that the policy has", () => {
    const graphql = [{ type: "mutation", name: "Any", fields: ["star", "addIssue"] }] as const;
    const { rules, endpoints, problems } = propose(refused("POST", "/graphql", {}, { protocol: "graphql", selector: "/graphql", graphql }));
    expect(problems).toEqual([]);
    expect(rules).toEqual([{ operationType: "mutation", fields: ["addIssue", "star"] }]);
    expect(endpoints).toMatchObject([{ protocol: "graphql", path: "/graphql" }]);
  });

  test("MCP tools and JSON-RPC methods by name", () => {
    const mcp = { protocol: "mcp", rpc: [{ method: "tools/call", name: "search" }] };
    expect(propose(refused("POST", "/mcp", { host: "mcp.example.test" }, mcp)).rules).toEqual([
      { method: "tools/call", params: { name: { glob: "search" } } },
    ]);
    const rpc = { protocol: "json-rpc", rpc: [{ method: "eth_send" }] };
    expect(propose(refused("POST", "/", { host: "rpc.example.test" }, rpc)).rules).toEqual([{ method: "eth_send" }]);
  });

  test("WebSockets: messages of an endpoint that reads them, and upgrades through one that does not", () => {
    const ws = { host: "ws.example.test" };
    expect(propose(refused("WEBSOCKET_TEXT", "/live", ws, { protocol: "websocket" })).rules).toEqual([
      { method: "WEBSOCKET_TEXT", path: "/live" },
    ]);
    expect(propose(refused("GET", "/live", {}, { upgrade: "websocket" })).rules).toEqual([
      { method: "GET", path: "/live" },
      { method: "WEBSOCKET_TEXT", path: "/live" },
    ]);
  });

  test("where no endpoint spoke of the path, one that speaks of exactly this", () => {
    const part = refused("POST", "/v2/x", { host: "part.example.test", code: "path_not_covered" }, { protocol: "", selector: "" });
    const { rules, endpoints } = propose(part);
    expect(rules).toEqual([{ method: "POST", path: "/v2/x" }]);
    expect(endpoints).toMatchObject([{ protocol: "rest", path: "", enforcement: "enforce" }]);
  });
});

describe("requests that were not reported", () => {
  const see = (aggregator: Aggregator, time: number, path: string) => aggregator.observe(denialOf(refused("POST", path, { time }))!);
  const report = (aggregator: Aggregator, now: number) => {
    const due = aggregator.due(now);
    aggregator.delivered(due, 0, now);
    return due.flatMap(({ requests }) => requests.map(({ sample }) => sample.path));
  };

  test("are news at once, also in the cool-down of their key; known ones wait", () => {
    const aggregator = new Aggregator();
    expect(see(aggregator, 0, "/a")).toBe("new");
    expect(report(aggregator, 1000)).toEqual(["/a"]);
    expect(see(aggregator, 2000, "/a")).toBe("known");
    expect(report(aggregator, 3000)).toEqual([]);
    expect(see(aggregator, 4000, "/b")).toBe("new");
    expect(report(aggregator, 5000)).toEqual(["/a", "/b"]);
    expect(report(aggregator, 1000 + COOL_DOWN_MS)).toEqual([]);
  });

  test("threat-30 a flood of them is few reports in a cool-down", () => {
    const aggregator = new Aggregator();
    let reports = 0;
    for (let second = 0; second < 60; second++) {
      see(aggregator, second * 1000, `/${second}/x`);
      if (report(aggregator, second * 1000).length > 0) reports++;
    }
    expect(reports).toBe(1 + MAX_EARLY_REPORTS);
  });

  test("what the gateway had no room for is offered again whole", () => {
    const aggregator = new Aggregator();
    see(aggregator, 0, "/a");
    const [first] = aggregator.due(1000);
    aggregator.delivered([first!], 0, 1000);
    aggregator.offerAgain(first!);
    expect(report(aggregator, 2000)).toEqual(["/a"]);
  });
});
