import { OpenShellError } from "../error.ts";
import type { L7RuleTarget, PolicyMergeOperation } from "../rpc/gen/openshell/v1/openshell_pb.ts";
import { removeBinary, removeEndpoint, removeRule } from "./edit.ts";
import { endpointText } from "./hash.ts";
import { withRules } from "./merge.ts";
import type { Binary, Endpoint, NetworkRule, Policy, RequestRule } from "./model.ts";
import { ruleFromProto } from "./proto.ts";
import { requestRuleFromProto } from "./proto-rules.ts";
import { presetMethods } from "./request-coverage.ts";

/** The policy after the operations, in order; throws `invalid_argument` or `not_found` for one that does not apply. */
export function mergePolicy(policy: Policy, operations: readonly PolicyMergeOperation[]): Policy {
  return operations.reduce((current, { operation }) => {
    switch (operation.case) {
      case "addRule":
        return addRule(current, operation.value.ruleName, ruleOf(operation.value.rule, operation.value.ruleName));
      case "removeRule":
        return removeRule(current, operation.value.ruleName);
      case "removeEndpoint":
        return removeEndpoint(current, operation.value.ruleName, operation.value.host, operation.value.port);
      case "removeBinary":
        return removeBinary(current, operation.value.ruleName, operation.value.binaryPath);
      case "addAllowRules": {
        const added = operation.value.rules.flatMap(({ allow }, index) =>
          allow === undefined ? [] : [requestRuleFromProto(allow, ["rules", index], refuse)],
        );
        return atTarget(current, operation.value.target, (endpoint) => allowAlso(endpoint, added));
      }
      case "addDenyRules": {
        const added = operation.value.denyRules.map((rule, index) => requestRuleFromProto(rule, ["deny_rules", index], refuse));
        return atTarget(current, operation.value.target, (endpoint) => ({ ...endpoint, denyRules: union(endpoint.denyRules, added) }));
      }
      default:
        throw new OpenShellError("invalid_argument", "merge_operations has an operation that this gateway does not know");
    }
  }, policy);
}

/** A new rule, or more endpoints and binaries for the one of that name. */
function addRule(policy: Policy, name: string, added: NetworkRule): Policy {
  const existing = own(policy.networkPolicies, name);
  if (existing === undefined) return withRules(policy, { [name]: added });
  const known = new Set(existing.endpoints.map(endpointText));
  const paths = new Set(existing.binaries.map(binaryText));
  const endpoints = [...existing.endpoints, ...added.endpoints.filter((endpoint) => !known.has(endpointText(endpoint)))];
  const binaries = [...existing.binaries, ...added.binaries.filter((binary) => !paths.has(binaryText(binary)))];
  return withRules(policy, { [name]: { ...existing, endpoints, binaries } });
}

function ruleOf(rule: Parameters<typeof ruleFromProto>[0] | undefined, name: string): NetworkRule {
  if (name === "" || rule === undefined) throw new OpenShellError("invalid_argument", "add_rule needs rule_name and rule");
  return ruleFromProto(rule, name);
}

function atTarget(policy: Policy, target: L7RuleTarget | undefined, change: (endpoint: Endpoint) => Endpoint): Policy {
  if (target === undefined || target.ruleName === "")
    throw new OpenShellError("invalid_argument", "the operation needs a target with a rule_name");
  let found = false;
  const rule = own(policy.networkPolicies, target.ruleName);
  if (rule === undefined) throw new OpenShellError("not_found", `the policy has no rule '${target.ruleName}'`);
  const endpoints = rule.endpoints.map((endpoint) => {
    if (endpoint.host !== target.host.toLowerCase()) return endpoint;
    if (target.ports.length > 0 && !target.ports.every((port) => endpoint.ports.includes(port))) return endpoint;
    if (target.path !== undefined && target.path !== endpoint.path) return endpoint;
    found = true;
    return change(endpoint);
  });
  const wantedBinaries = target.binaries.map(({ path, selfOnly }) => binaryText({ path, selfOnly }));
  if (!target.anyBinary && !wantedBinaries.every((text) => rule.binaries.some((binary) => binaryText(binary) === text))) {
    throw new OpenShellError("not_found", `rule '${target.ruleName}' is not for all of these binaries`);
  }
  if (!found) throw new OpenShellError("not_found", `rule '${target.ruleName}' has no endpoint ${target.host}`);
  return withRules(policy, { [target.ruleName]: { ...rule, endpoints } });
}

/** An endpoint has a preset or rules, so that a preset is written out before rules join it; one that allows everything stays. */
function allowAlso(endpoint: Endpoint, added: readonly RequestRule[]): Endpoint {
  if (endpoint.access === "full") return endpoint;
  const methods = presetMethods(endpoint);
  if (methods === undefined) return { ...endpoint, rules: union(endpoint.rules, added) };
  const preset = methods.map((method) => ({ ...ANY_PATH, method }));
  return { ...endpoint, access: "", rules: union(union(preset, endpoint.rules), added) };
}

const ANY_PATH = { path: "**", command: "", query: {}, operationType: "", operationName: "", fields: [], params: {} } as const;

function union(existing: readonly RequestRule[], added: readonly RequestRule[]): RequestRule[] {
  const known = new Set(existing.map((rule) => JSON.stringify(rule)));
  return [...existing, ...added.filter((rule) => !known.has(JSON.stringify(rule)))];
}

function binaryText({ path, selfOnly }: Binary): string {
  return `${selfOnly} ${path}`;
}

function refuse(field: string, message: string): never {
  throw new OpenShellError("invalid_argument", `${field}: ${message}`, { violations: [{ field, message }] });
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
