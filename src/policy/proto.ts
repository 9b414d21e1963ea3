import { create, isMessage, type Message } from "@bufbuild/protobuf";
import { OpenShellError, type Violation } from "../error.ts";
import {
  type NetworkPolicyRule,
  NetworkPolicyRuleSchema,
  type SandboxPolicy,
  SandboxPolicySchema,
} from "../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Report } from "./from-authored.ts";
import { MAX_VIOLATIONS } from "./limits.ts";
import type { NetworkRule, Policy } from "./model.ts";
import { normalisePath } from "./normalise.ts";
import { endpointFromProto, endpointToProto } from "./proto-endpoint.ts";
import { mapValues } from "./proto-rules.ts";

/** The API's message of a policy. */
export function policyToProto(policy: Policy): SandboxPolicy {
  const { filesystem, landlock, process } = policy;
  return create(SandboxPolicySchema, {
    version: policy.version,
    ...(filesystem && {
      filesystem: { includeWorkdir: filesystem.includeWorkdir, readOnly: [...filesystem.readOnly], readWrite: [...filesystem.readWrite] },
    }),
    ...(landlock && { landlock: { compatibility: landlock.compatibility } }),
    ...(process && { process: { runAsUser: process.runAsUser, runAsGroup: process.runAsGroup } }),
    networkPolicies: mapValues(policy.networkPolicies, ruleToProto),
  });
}

/**
 * The model of a message: ports, names and paths normalised as from YAML. What cannot be carried (unknown enum values and fields, middleware) is
 * refused, because it could be a restriction. Whether the policy makes sense is for `validatePolicy`.
 * @throws OpenShellError `invalid_argument` with all violations.
 */
export function policyFromProto(message: SandboxPolicy): Policy {
  const violations: Violation[] = [];
  const report: Report = (field, text) => violations.push({ field, message: text });
  reportUnknown(message, [], report);
  if (Object.keys(message.networkMiddlewares).length > 0) report("network_middlewares", "is not supported");
  const { filesystem, landlock, process } = message;
  const compatibility = landlock?.compatibility || "hard_requirement";
  if (compatibility !== "best_effort" && compatibility !== "hard_requirement") {
    report("landlock.compatibility", `expected "best_effort" or "hard_requirement", got ${JSON.stringify(compatibility)}`);
  }
  const policy: Policy = {
    version: message.version,
    ...(filesystem && {
      filesystem: {
        includeWorkdir: filesystem.includeWorkdir,
        readOnly: filesystem.readOnly.map(normalisePath),
        readWrite: filesystem.readWrite.map(normalisePath),
      },
    }),
    ...(landlock && { landlock: { compatibility: compatibility === "best_effort" ? compatibility : "hard_requirement" } }),
    ...(process && { process: { runAsUser: process.runAsUser || "sandbox", runAsGroup: process.runAsGroup || "sandbox" } }),
    networkPolicies: mapValues(message.networkPolicies, (rule, key) => toRule(rule, key, report)),
  };
  refuse(violations);
  return policy;
}

export function ruleToProto(rule: NetworkRule): NetworkPolicyRule {
  return create(NetworkPolicyRuleSchema, {
    name: rule.name,
    endpoints: rule.endpoints.map(endpointToProto),
    binaries: rule.binaries.map(({ path, selfOnly }) => ({ path, selfOnly })),
  });
}

/** One rule under its key; throws as `policyFromProto`. */
export function ruleFromProto(message: NetworkPolicyRule, key: string): NetworkRule {
  const violations: Violation[] = [];
  const report: Report = (field, text) => violations.push({ field, message: text });
  reportUnknown(message, ["network_policies", key], report);
  const rule = toRule(message, key, report);
  refuse(violations);
  return rule;
}

function toRule(message: NetworkPolicyRule, key: string, report: Report): NetworkRule {
  const at: Path = ["network_policies", key];
  return {
    name: message.name || key,
    endpoints: message.endpoints.map((endpoint, i) => endpointFromProto(endpoint, [...at, "endpoints", i], report)),
    binaries: message.binaries.map(({ path, selfOnly }) => ({ path, selfOnly })),
  };
}

/** Fields that were removed because they never meant anything; old clients still send them. */
const HARMLESS: Readonly<Record<string, readonly number[]>> = { "openshell.sandbox.v1.NetworkBinary": [2] };

/** A newer client may say things that this version does not understand. */
function reportUnknown(message: Message, at: Path, report: Report): void {
  for (const { no } of message.$unknown ?? []) {
    if (!HARMLESS[message.$typeName]?.includes(no))
      report(fieldPath(at) || "document", `has the unknown field number ${no} (${message.$typeName})`);
  }
  for (const [name, value] of Object.entries(message)) {
    if (!name.startsWith("$")) reportUnknownIn(value, [...at, snakeCase(name)], report);
  }
}

function reportUnknownIn(value: unknown, at: Path, report: Report): void {
  if (isMessage(value)) reportUnknown(value, at, report);
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) reportUnknownIn(item, [...at, i], report);
  else if (typeof value === "object" && value !== null)
    for (const [key, item] of Object.entries(value)) reportUnknownIn(item, [...at, key], report);
}

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function refuse(violations: readonly Violation[]): void {
  const [first] = violations;
  if (first === undefined) return;
  throw new OpenShellError("invalid_argument", `${first.field}: ${first.message}`, { violations: violations.slice(0, MAX_VIOLATIONS) });
}
