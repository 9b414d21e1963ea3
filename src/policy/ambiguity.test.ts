import { expect, test } from "bun:test";
import { ambiguities } from "./ambiguity.ts";
import { emptyEndpoint } from "./defaults.ts";
import { MAX_VIOLATIONS } from "./limits.ts";
import type { Endpoint, Policy } from "./model.ts";
import { validatePolicy } from "./validate.ts";

const policy = (endpoints: Partial<Endpoint>[]): Policy => ({
  version: 1,
  networkPolicies: {
    a: {
      name: "a",
      endpoints: endpoints.map((fields) => ({ ...emptyEndpoint, ports: [443], ...fields })),
      binaries: [{ path: "/usr/bin/curl", selfOnly: false }],
    },
  },
});

const conflicts = (...endpoints: Partial<Endpoint>[]) =>
  [...ambiguities(policy(endpoints))].map(({ message }) => message.replace(/^.* but differs in /, ""));

const rest = { host: "a.example.com", protocol: "rest", access: "full", enforcement: "enforce" } as const;

test("absent and default settings agree", () => {
  expect(conflicts({ host: "a.example.com" }, { host: "a.example.com", tls: "terminate" })).toEqual([]);
  expect(conflicts({ ...rest, enforcement: "" }, { ...rest, enforcement: "audit" })).toEqual([]);
  expect(
    conflicts(
      { host: "a.example.com", allowedIps: ["10.0.0.1", "10.0.0.2"] },
      { host: "a.example.com", allowedIps: ["10.0.0.2", "10.0.0.1"] },
    ),
  ).toEqual([]);
});

test.each([
  ["tls", { tls: "skip" }],
  ["allowed_ips", { allowedIps: ["10.0.0.1"] }],
  ["advisor_proposed", { advisorProposed: true }],
  ["protocol, enforcement", { protocol: "", access: "", enforcement: "" }],
  ["enforcement", { enforcement: "audit" }],
  ["credential_binding", { credentialBinding: { provider: "x" } }],
  ["mask_responses", { maskResponses: true }],
] as [string, Partial<Endpoint>][])("a difference in %s counts", (name, change) => {
  expect(conflicts(rest, { ...rest, ...change })).toEqual([name]);
});

test("different rules and presets are no conflict: they add up", () => {
  expect(conflicts(rest, { ...rest, access: "read-only" })).toEqual([]);
});

test("a more specific path selector decides, equal ones conflict", () => {
  expect(conflicts({ ...rest, path: "/v1/**" }, { ...rest, path: "/v1/admin/**", enforcement: "audit" })).toEqual([]);
  expect(conflicts({ ...rest, path: "/ab/**" }, { ...rest, path: "/cd/**", enforcement: "audit" })).toEqual([]);
  expect(conflicts({ ...rest, path: "/v1/**" }, { ...rest, path: "/v1/**", enforcement: "audit" })).toEqual(["enforcement"]);
});

test("an endpoint without host meets every host on its port", () => {
  expect(conflicts({ host: "", allowedIps: ["10.0.0.1"], tls: "skip" }, { host: "a.example.com", allowedIps: ["10.0.0.1"] })).toEqual([
    "tls",
  ]);
});

test("the search ends early in a policy made of conflicts", () => {
  const many = Array.from({ length: 4000 }, (_, i) => ({
    host: `*.h${i % 3}.example.com`,
    tls: i % 2 === 0 ? ("skip" as const) : ("" as const),
  }));
  expect(validatePolicy(policy(many))).toHaveLength(MAX_VIOLATIONS);
});
