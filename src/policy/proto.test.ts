import { describe, expect, test } from "bun:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type NetworkTlsMode, type SandboxPolicy, SandboxPolicySchema } from "../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { restrictiveDefault } from "./defaults.ts";
import { policyFromProto, policyToProto, ruleFromProto, ruleToProto } from "./proto.ts";
import { parsePolicyYaml } from "./yaml.ts";

const withEndpoint = (endpoint: object): SandboxPolicy =>
  create(SandboxPolicySchema, { version: 1, networkPolicies: { a: { endpoints: [endpoint], binaries: [{ path: "/usr/bin/curl" }] } } });

const violations = (message: SandboxPolicy) => {
  try {
    policyFromProto(message);
  } catch (error) {
    return (error as { violations: { field: string }[] }).violations.map(({ field }) => field);
  }
  return [];
};

test("case-10: a policy survives the wire", () => {
  for (const policy of [
    restrictiveDefault(),
    parsePolicyYaml(
      "version: 1\nprocess: {run_as_user: 5}\nlandlock: {}\nnetwork_policies: {a: {name: b, endpoints: [{host: a.b.c, ports: [1, 2]}]}}",
      {
        source: "test",
      },
    ),
  ]) {
    expect(policyFromProto(fromBinary(SandboxPolicySchema, toBinary(SandboxPolicySchema, policyToProto(policy))))).toEqual(policy);
  }
});

test("case-10: port and ports are both written, and either is read", () => {
  expect(
    policyToProto(policyFromProto(withEndpoint({ host: "a.b.c", ports: [443, 80] }))).networkPolicies["a"]!.endpoints[0],
  ).toMatchObject({
    port: 443,
    ports: [443, 80],
  });
  expect(policyFromProto(withEndpoint({ host: "A.b.C", port: 443 })).networkPolicies["a"]!.endpoints[0]).toMatchObject({
    host: "a.b.c",
    ports: [443],
  });
});

test("case-10: names default to the key, identities to sandbox, compatibility to hard_requirement", () => {
  const policy = policyFromProto(create(SandboxPolicySchema, { version: 1, landlock: {}, process: {}, networkPolicies: { a: {} } }));
  expect(policy).toEqual({
    version: 1,
    landlock: { compatibility: "hard_requirement" },
    process: { runAsUser: "sandbox", runAsGroup: "sandbox" },
    networkPolicies: { a: { name: "a", endpoints: [], binaries: [] } },
  });
});

describe("what cannot be carried is refused", () => {
  test.each([
    ["an unknown enum value", withEndpoint({ host: "a.b.c", port: 1, tls: 9 as NetworkTlsMode, access: 7 }), ["tls", "access"]],
    ["a rule without allow", withEndpoint({ host: "a.b.c", port: 1, rules: [{}] }), ["rules[0]"]],
    ["port outside ports", withEndpoint({ host: "a.b.c", port: 1, ports: [2] }), ["port"]],
    ["a token grant", withEndpoint({ host: "a.b.c", port: 1, tokenGrantOwner: "x" }), ["token_grant_owner"]],
    ["mcp versions", withEndpoint({ host: "a.b.c", port: 1, mcp: { versions: ["1"] } }), ["mcp.versions"]],
    [
      "glob and any",
      withEndpoint({ host: "a.b.c", port: 1, denyRules: [{ query: { q: { glob: "a", any: ["b"] } } }] }),
      ["deny_rules[0].query.q"],
    ],
  ])("%s", (_, message, fields) => {
    expect(violations(message)).toEqual(fields.map((field) => `network_policies.a.endpoints[0].${field}`));
  });

  test("middleware and unknown compatibility", () => {
    const message = create(SandboxPolicySchema, { version: 1, networkMiddlewares: { m: {} }, landlock: { compatibility: "none" } });
    expect(violations(message)).toEqual(["network_middlewares", "landlock.compatibility"]);
  });

  test("fields of a newer schema, at any depth; the old harness flag is none", () => {
    const message = withEndpoint({ host: "a.b.c", port: 1, rules: [{ allow: { method: "GET" } }] });
    const rule = message.networkPolicies["a"]!;
    rule.binaries[0]!.$unknown = [{ no: 2, wireType: 0, data: new Uint8Array([1]) }];
    expect(violations(message)).toEqual([]);
    rule.endpoints[0]!.rules[0]!.allow!.$unknown = [{ no: 77, wireType: 0, data: new Uint8Array([1]) }];
    expect(violations(message)).toEqual(["network_policies.a.endpoints[0].rules[0].allow"]);
    expect(violations(fromBinary(SandboxPolicySchema, toBinary(SandboxPolicySchema, message)))).toHaveLength(1);
    expect(() => ruleFromProto(rule, "a")).toThrow("unknown field number 77");
  });
});

test("one rule maps alone", () => {
  const rule = policyFromProto(withEndpoint({ host: "a.b.c", port: 1 })).networkPolicies["a"]!;
  expect(ruleFromProto(ruleToProto(rule), "a")).toEqual(rule);
});
