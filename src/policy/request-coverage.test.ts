import { expect, test } from "bun:test";
import type { HttpFacts, RequestFacts } from "../engine/decision.ts";
import { PolicyEngine } from "../engine/policy-engine.ts";
import { emptyEndpoint, emptyRequestRule } from "./defaults.ts";
import type { AccessPreset, Endpoint, Policy, RequestRule } from "./model.ts";
import { allows, requestsCovered } from "./request-coverage.ts";
import { PROPOSABLE_METHODS } from "./request-evidence.ts";

const base: Endpoint = { ...emptyEndpoint, host: "a.example.test", ports: [443], enforcement: "enforce" };
const policyOf = (endpoint: Endpoint): Policy => ({
  version: 1,
  networkPolicies: { r: { name: "r", endpoints: [endpoint], binaries: [{ path: "/usr/bin/curl", selfOnly: true }] } },
});
const http = (method: string, path: string): HttpFacts => ({ kind: "http", method, path, query: {}, upgrade: "" });
const rule = (fields: Partial<RequestRule>): RequestRule => ({ ...emptyRequestRule, ...fields });

/** Holds what this says against what the rules decide; it may say no more. */
function compare(endpoint: Endpoint, wanted: RequestRule, request: RequestFacts): boolean {
  const engine = new PolicyEngine();
  engine.load(policyOf(endpoint));
  const { action } = engine.decideRequest({ host: "a.example.test", port: 443, exe: "/usr/bin/curl", ancestors: [], request });
  const said = allows(endpoint, wanted);
  expect([endpoint.protocol, endpoint.access, endpoint.rules, wanted.method, said && action !== "allow"]).toEqual([
    endpoint.protocol,
    endpoint.access,
    endpoint.rules,
    wanted.method,
    false,
  ]);
  return said === (action === "allow");
}

test("presets cover what the rules of the engine allow, and nothing else", () => {
  for (const access of ["read-only", "read-write", "full"] as const satisfies AccessPreset[]) {
    for (const protocol of ["rest", "websocket"] as const) {
      for (const method of PROPOSABLE_METHODS) {
        const request: RequestFacts = method === "WEBSOCKET_TEXT" ? { kind: "websocket_text", path: "/x", query: {} } : http(method, "/x");
        // HEAD of a WebSocket endpoint comes with GET in the rules; saying less is safe.
        const same = compare({ ...base, protocol, access }, rule({ method, path: "/x" }), request);
        if (!(protocol === "websocket" && method === "HEAD"))
          expect([protocol, access, method, same]).toEqual([protocol, access, method, true]);
      }
    }
    for (const operationType of ["query", "mutation", "subscription"] as const) {
      const graphql = [{ type: operationType, name: "", fields: ["a"] }];
      const same = compare({ ...base, protocol: "graphql", access }, rule({ operationType, fields: ["a"] }), {
        ...http("POST", "/"),
        graphql,
      });
      expect([access, operationType, same]).toEqual([access, operationType, true]);
    }
  }
});

test("rules cover by method and path", () => {
  const endpoint: Endpoint = {
    ...base,
    protocol: "rest",
    rules: [rule({ method: "GET", path: "/r/*/x" }), rule({ method: "POST", path: "/a/**" })],
  };
  for (const [method, path] of [
    ["GET", "/r/1/x"],
    ["HEAD", "/r/1/x"],
    ["GET", "/r/1"],
    ["PUT", "/r/1/x"],
    ["POST", "/a/b/c"],
    ["POST", "/a"],
  ] as const)
    expect([method, path, compare(endpoint, rule({ method, path }), http(method, path))]).toEqual([method, path, true]);
});

test("a rule is covered for every program and place, or it is not", () => {
  const endpoint: Endpoint = { ...base, protocol: "rest", access: "read-only" };
  const wanted = (fields: Partial<Endpoint>, path = "/usr/bin/curl") => ({
    name: "w",
    endpoints: [{ ...base, protocol: "rest" as const, rules: [rule({ method: "GET", path: "/x" })], ...fields }],
    binaries: [{ path, selfOnly: true }],
  });
  expect(requestsCovered(policyOf(endpoint), wanted({}))).toBe(true);
  expect(requestsCovered(policyOf(endpoint), wanted({ rules: [rule({ method: "POST", path: "/x" })] }))).toBe(false);
  expect(requestsCovered(policyOf(endpoint), wanted({ ports: [443, 80] }))).toBe(false);
  expect(requestsCovered(policyOf(endpoint), wanted({ host: "b.example.test" }))).toBe(false);
  expect(requestsCovered(policyOf(endpoint), wanted({}, "/usr/bin/git"))).toBe(false);
  expect(requestsCovered(policyOf(endpoint), wanted({ rules: [] }))).toBe(false);
});
