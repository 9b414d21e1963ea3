import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Violation } from "../../../error.ts";
import type { Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import {
  NetworkAccessPreset,
  NetworkEnforcementMode,
  type NetworkPolicyRule,
  NetworkPolicyRuleSchema,
  type SandboxPolicy,
  SandboxPolicySchema,
} from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";

// Stand-ins until the functions of src/policy are there; this file then only re-exports them.

const bare: Omit<Endpoint, "host" | "ports"> = {
  protocol: "",
  tls: "",
  enforcement: "",
  access: "",
  rules: [],
  denyRules: [],
  allowedIps: [],
  path: "",
  allowEncodedSlash: false,
  websocketCredentialRewrite: false,
  requestBodyCredentialRewrite: false,
  allowUninspectedCredentials: false,
  persistedQueries: "",
  graphqlPersistedQueries: {},
  graphqlMaxBodyBytes: 0,
  jsonRpcMaxBodyBytes: 0,
  credentialSigning: "",
  signingService: "",
  signingRegion: "",
  maskResponses: false,
  advisorProposed: false,
  providerCredentialed: false,
};

export function ruleFromProto(rule: NetworkPolicyRule, key: string): NetworkRule {
  return {
    name: rule.name || key,
    endpoints: rule.endpoints.map((e) => ({
      ...bare,
      host: e.host.toLowerCase().replace(/\.$/, ""),
      ports: e.ports.length > 0 ? [...e.ports] : [e.port],
      protocol: e.protocol as Endpoint["protocol"],
      enforcement: (["", "enforce", "audit"] as const)[e.enforcement] ?? "",
      access: (["", "read-only", "read-write", "full"] as const)[e.access] ?? "",
      allowedIps: [...e.allowedIps],
      rules: e.rules.map((r) => ({
        method: r.allow?.method ?? "",
        path: r.allow?.path ?? "",
        command: "",
        query: {},
        operationType: "",
        operationName: "",
        fields: [],
        params: {},
      })),
      denyRules: e.denyRules.map((r) => ({
        method: r.method,
        path: r.path,
        command: "",
        query: {},
        operationType: "",
        operationName: "",
        fields: [],
        params: {},
      })),
      tls: (["", "skip", "terminate", "passthrough"] as const)[e.tls] ?? "",
    })),
    binaries: rule.binaries.map((b) => ({ path: b.path, selfOnly: b.selfOnly })),
  };
}

export function ruleToProto(rule: NetworkRule): NetworkPolicyRule {
  return create(NetworkPolicyRuleSchema, {
    name: rule.name,
    endpoints: rule.endpoints.map((e) => ({
      host: e.host,
      port: e.ports[0] ?? 0,
      ports: [...e.ports],
      protocol: e.protocol,
      enforcement: { "": NetworkEnforcementMode.UNSPECIFIED, enforce: NetworkEnforcementMode.ENFORCE, audit: NetworkEnforcementMode.AUDIT }[
        e.enforcement
      ],
      access: {
        "": NetworkAccessPreset.UNSPECIFIED,
        "read-only": NetworkAccessPreset.READ_ONLY,
        "read-write": NetworkAccessPreset.READ_WRITE,
        full: NetworkAccessPreset.FULL,
      }[e.access],
      allowedIps: [...e.allowedIps],
      rules: e.rules.map((r) => ({ allow: { method: r.method, path: r.path } })),
    })),
    binaries: rule.binaries.map((b) => ({ path: b.path, selfOnly: b.selfOnly })),
  });
}

export function policyToProto(policy: Policy): SandboxPolicy {
  return create(SandboxPolicySchema, {
    version: policy.version,
    networkPolicies: Object.fromEntries(Object.entries(policy.networkPolicies).map(([key, rule]) => [key, ruleToProto(rule)])),
  });
}

export function policyHash(policy: Policy): string {
  return createHash("sha256").update(canonical(policy)).digest("hex");
}

export function validatePolicy(policy: Policy): Violation[] {
  return Object.entries(policy.networkPolicies).flatMap(([key, rule]) =>
    rule.endpoints.flatMap((endpoint, i) =>
      endpoint.ports.some((port) => port < 1 || port > 65_535)
        ? [{ field: `network_policies.${key}.endpoints[${i}].port`, message: "must be 1..65535" }]
        : [],
    ),
  );
}

export function addProposedRule(policy: Policy, ruleName: string, rule: NetworkRule): { policy: Policy; key: string } {
  let key = ruleName;
  for (let n = 2; key in policy.networkPolicies; n++) key = `${ruleName}_${n}`;
  return { policy: { ...policy, networkPolicies: { ...policy.networkPolicies, [key]: { ...rule, name: key } } }, key };
}

export function removeAddedRule(policy: Policy, key: string, rule: NetworkRule): Policy {
  const found = policy.networkPolicies[key];
  if (!found || canonical({ ...found, name: "" }) !== canonical({ ...rule, name: "" })) return policy;
  const { [key]: _, ...networkPolicies } = policy.networkPolicies;
  return { ...policy, networkPolicies };
}

export function coveredBy(policy: Policy, rule: NetworkRule): boolean {
  return rule.binaries.every((binary) =>
    rule.endpoints.every((endpoint) =>
      endpoint.ports.every((port) =>
        Object.values(policy.networkPolicies).some(
          (other) =>
            other.binaries.some((b) => b.path === binary.path && (binary.selfOnly || !b.selfOnly)) &&
            other.endpoints.some((e) => e.ports.includes(port) && canonical({ ...e, ports: [] }) === canonical({ ...endpoint, ports: [] })),
        ),
      ),
    ),
  );
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`)
    .join(",")}}`;
}
