import type { Endpoint, NetworkRule, Policy } from "./model.ts";
import { hostsMeet, pathsMeet } from "./patterns.ts";
import { isInspected } from "./validate-rules.ts";

/** One program at one place, with the programs that started it, nearest first: rules about a family speak of it too. */
export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly binary: string;
  readonly ancestors: readonly string[];
}

/**
 * A proposed rule with the settings that the policy already has for the same host, port and program: a connection must be treated in one way, so a
 * proposal may add requests and never change how they are inspected. What the proposal allows (access, rules) stays its own.
 */
export function withExistingSettings(policy: Policy, rule: NetworkRule, ancestors: readonly string[] = []): NetworkRule {
  return {
    ...rule,
    endpoints: rule.endpoints.map((endpoint) =>
      adopt(
        endpoint,
        rule.binaries.flatMap(({ path: binary }) =>
          endpoint.ports.flatMap((port) => inspectingEndpoints(policy, { host: endpoint.host, port, binary, ancestors })),
        ),
      ),
    ),
  };
}

/** The endpoints by which requests of a connection are decided now, in the order of the policy. */
export function inspectingEndpoints(policy: Policy, { host, port, binary, ancestors }: Connection): Endpoint[] {
  return Object.values(policy.networkPolicies)
    .filter(({ binaries }) =>
      binaries.some(
        ({ path, selfOnly }) => pathsMeet(path, binary) || (!selfOnly && ancestors.some((ancestor) => pathsMeet(path, ancestor))),
      ),
    )
    .flatMap(({ endpoints }) => endpoints)
    .filter((endpoint) => isInspected(endpoint.protocol) && hostsMeet(endpoint.host, host) && endpoint.ports.includes(port));
}

function adopt(endpoint: Endpoint, existing: readonly Endpoint[]): Endpoint {
  const { host, ports, path, protocol, access, rules, denyRules } = endpoint;
  const alike = existing.filter((other) => other.path === path);
  const settings = alike.find((other) => other.protocol === protocol) ?? alike[0];
  if (settings !== undefined) return { ...settings, host, ports, access, rules, denyRules };
  // Of other paths: how the connection is treated is theirs all the same.
  const [other] = existing;
  return other === undefined ? endpoint : { ...endpoint, tls: other.tls, allowedIps: other.allowedIps };
}
