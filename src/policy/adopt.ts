import type { Endpoint, NetworkRule, Policy } from "./model.ts";
import { hostsMeet, pathsMeet } from "./patterns.ts";
import { isInspected } from "./validate-rules.ts";

/**
 * A proposed rule with the settings that the policy already has for the same host, port and binary: a connection must be treated in one way, so a
 * proposal may add requests and never change how they are inspected. What the proposal allows (access, rules) stays its own.
 */
export function withExistingSettings(policy: Policy, rule: NetworkRule): NetworkRule {
  return { ...rule, endpoints: rule.endpoints.map((endpoint) => adopt(endpoint, existingFor(policy, rule, endpoint))) };
}

function existingFor(policy: Policy, rule: NetworkRule, endpoint: Endpoint): Endpoint | undefined {
  const sameBinary = (other: NetworkRule) =>
    other.binaries.some(({ path }) => rule.binaries.some((binary) => pathsMeet(path, binary.path)));
  return Object.values(policy.networkPolicies)
    .filter(sameBinary)
    .flatMap(({ endpoints }) => endpoints)
    .find(
      (other) =>
        isInspected(other.protocol) && hostsMeet(other.host, endpoint.host) && other.ports.some((port) => endpoint.ports.includes(port)),
    );
}

function adopt(endpoint: Endpoint, existing: Endpoint | undefined): Endpoint {
  if (existing === undefined) return endpoint;
  const { host, ports, access, rules, denyRules } = endpoint;
  return { ...existing, host, ports, access, rules, denyRules };
}
