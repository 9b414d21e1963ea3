import { OpenShellError } from "../error.ts";
import { endpointText } from "./hash.ts";
import { withRules } from "./merge.ts";
import type { Binary, Endpoint, NetworkRule, Policy } from "./model.ts";

/** Adds a rule under a key of its own. Throws `already_exists`. */
export function addRule(policy: Policy, key: string, rule: NetworkRule): Policy {
  if (Object.hasOwn(policy.networkPolicies, key)) throw new OpenShellError("already_exists", `the policy already has a rule '${key}'`);
  return withRules(policy, { [key]: { ...rule, name: rule.name || key } });
}

/** Throws `not_found`. */
export function removeRule(policy: Policy, key: string): Policy {
  ruleOf(policy, key);
  const { [key]: _, ...networkPolicies } = policy.networkPolicies;
  return { ...policy, networkPolicies };
}

/** Throws `not_found`, or `already_exists` when the rule has the same endpoint. */
export function addEndpoint(policy: Policy, key: string, endpoint: Endpoint): Policy {
  const rule = ruleOf(policy, key);
  if (rule.endpoints.some((other) => endpointText(other) === endpointText(endpoint))) {
    throw new OpenShellError("already_exists", `rule '${key}' already has this endpoint for ${endpoint.host}`);
  }
  return withRules(policy, { [key]: { ...rule, endpoints: [...rule.endpoints, endpoint] } });
}

/** Takes a host and port out of a rule, whatever their other settings; a rule that is left without endpoints goes. Throws `not_found`. */
export function removeEndpoint(policy: Policy, key: string, host: string, port: number): Policy {
  const rule = ruleOf(policy, key);
  if (!rule.endpoints.some((endpoint) => endpoint.host === host && endpoint.ports.includes(port))) {
    throw new OpenShellError("not_found", `rule '${key}' has no endpoint ${host}:${port}`);
  }
  const endpoints = rule.endpoints.flatMap((endpoint) => {
    if (endpoint.host !== host) return [endpoint];
    const ports = endpoint.ports.filter((other) => other !== port);
    return ports.length === 0 ? [] : [{ ...endpoint, ports }];
  });
  return endpoints.length === 0 ? removeRule(policy, key) : withRules(policy, { [key]: { ...rule, endpoints } });
}

/** Throws `not_found`, or `already_exists` when the rule has the same binary. */
export function addBinary(policy: Policy, key: string, binary: Binary): Policy {
  const rule = ruleOf(policy, key);
  if (rule.binaries.some(({ path, selfOnly }) => path === binary.path && selfOnly === binary.selfOnly)) {
    throw new OpenShellError("already_exists", `rule '${key}' already has the binary ${binary.path}`);
  }
  return withRules(policy, { [key]: { ...rule, binaries: [...rule.binaries, binary] } });
}

/** A rule that is left without binaries goes. Throws `not_found`. */
export function removeBinary(policy: Policy, key: string, path: string): Policy {
  const rule = ruleOf(policy, key);
  const binaries = rule.binaries.filter((binary) => binary.path !== path);
  if (binaries.length === rule.binaries.length) throw new OpenShellError("not_found", `rule '${key}' has no binary ${path}`);
  return binaries.length === 0 ? removeRule(policy, key) : withRules(policy, { [key]: { ...rule, binaries } });
}

function ruleOf(policy: Policy, key: string): NetworkRule {
  const rule = Object.hasOwn(policy.networkPolicies, key) ? policy.networkPolicies[key] : undefined;
  if (rule === undefined) throw new OpenShellError("not_found", `the policy has no rule '${key}'`);
  return rule;
}
