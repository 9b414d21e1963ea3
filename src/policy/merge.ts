import { OpenShellError, type Violation } from "../error.ts";
import { rangeWithin } from "./allowed-ips.ts";
import { emptyEndpoint } from "./defaults.ts";
import { stable } from "./hash.ts";
import type { Binary, Endpoint, NetworkRule, Policy } from "./model.ts";
import { hostCovers, pathCovers } from "./patterns.ts";

/** Characters that make a pattern out of what should be one observed value. */
const METACHARACTERS = /[*?[\]{}]/;

/**
 * What keeps a rule from being a proposal: proposals are made from observed values, so no host and no path may be a pattern, and every binary
 * matches itself alone.
 */
export function proposalViolations(rule: NetworkRule): Violation[] {
  const violations: Violation[] = [];
  if (rule.endpoints.length === 0) violations.push({ field: "endpoints", message: "is empty" });
  if (rule.binaries.length === 0) violations.push({ field: "binaries", message: "is empty" });
  for (const [i, { host }] of rule.endpoints.entries()) {
    if (host === "") violations.push({ field: `endpoints[${i}].host`, message: "is missing" });
    if (METACHARACTERS.test(host))
      violations.push({ field: `endpoints[${i}].host`, message: `'${host}' has a pattern character (* ? [ ] { })` });
  }
  for (const [i, { path, selfOnly }] of rule.binaries.entries()) {
    if (METACHARACTERS.test(path))
      violations.push({ field: `binaries[${i}].path`, message: `'${path}' has a pattern character (* ? [ ] { })` });
    if (!selfOnly) violations.push({ field: `binaries[${i}].self_only`, message: "must be set: a proposal never covers descendants" });
  }
  return violations;
}

/**
 * Adds a proposed rule, always under a key of its own: an existing rule is never chosen by name nor widened. When the key is taken the new one gets
 * a number (`_2`, `_3`, …).
 * @throws OpenShellError `invalid_argument` when the rule is no proposal.
 */
export function addProposedRule(policy: Policy, ruleName: string, rule: NetworkRule): { policy: Policy; key: string } {
  const violations = proposalViolations(rule);
  if (violations[0] !== undefined) {
    throw new OpenShellError("invalid_argument", `the proposed rule is refused: ${violations[0].field} ${violations[0].message}`, {
      violations,
    });
  }
  const key = freeKey(policy, ruleName);
  return { policy: withRules(policy, { [key]: { ...rule, name: key } }), key };
}

/**
 * Takes away exactly what adding `rule` under `key` gave: every (endpoint, binary) pair of it, and nothing else. When the rule was edited since,
 * pairs that the edit added stay, if need be in a second rule. Other rules are not touched; a key that is gone is no error.
 */
export function removeAddedRule(policy: Policy, key: string, rule: NetworkRule): Policy {
  const current = own(policy.networkPolicies, key);
  if (current === undefined) return policy;
  // By path alone: an edit may have widened the entry to descendants, and what remains of it could not be written down.
  const added = (binary: Binary) => rule.binaries.some(({ path }) => path === binary.path);
  const keptBinaries = current.binaries.filter((binary) => !added(binary));
  const touched = current.endpoints.flatMap((endpoint) => within(endpoint, rule));
  const keptEndpoints = current.endpoints.flatMap((endpoint) => without(endpoint, rule));
  const { [key]: _, ...others } = policy.networkPolicies;
  let next: Policy = { ...policy, networkPolicies: others };
  // Endpoints that came later stay for all binaries; binaries that came later keep the endpoints that are taken from the others.
  if (keptEndpoints.length > 0 && current.binaries.length > 0) next = withRules(next, { [key]: { ...current, endpoints: keptEndpoints } });
  if (keptBinaries.length > 0 && touched.length > 0) {
    const second = freeKey(next, key);
    const name = second === key ? current.name : second;
    next = withRules(next, { [second]: { name, endpoints: touched, binaries: keptBinaries } });
  }
  return next;
}

/**
 * True when the policy already allows everything that the rule would: each of its hosts, ports and binaries, with the same treatment or as plain
 * connections. Conservative: false when in doubt.
 */
export function coveredBy(policy: Policy, rule: NetworkRule): boolean {
  const rules = Object.values(policy.networkPolicies);
  return rule.endpoints.every((wanted) =>
    wanted.ports.every((port) =>
      rule.binaries.every((binary) =>
        rules.some(
          (existing) =>
            existing.binaries.some((other) => binaryCovers(other, binary)) &&
            existing.endpoints.some((other) => other.ports.includes(port) && endpointCovers(other, wanted)),
        ),
      ),
    ),
  );
}

function binaryCovers(outer: Binary, inner: Binary): boolean {
  return pathCovers(outer.path, inner.path) && (inner.selfOnly || !outer.selfOnly);
}

function endpointCovers(outer: Endpoint, inner: Endpoint): boolean {
  if (!hostCovers(outer.host, inner.host)) return false;
  const addresses =
    inner.allowedIps.length === 0
      ? outer.allowedIps.length === 0
      : inner.allowedIps.every((ip) => outer.allowedIps.some((range) => rangeWithin(ip, range)));
  if (!addresses) return false;
  return (
    treatment(outer) === treatment(inner) || (treatment(outer) === PLAIN && !asksForCredentials(inner)) || allowsAnyRequest(outer, inner)
  );
}

/** Whether both look at requests alike, and the first lets every one of them through. */
function allowsAnyRequest(outer: Endpoint, inner: Endpoint): boolean {
  const inspection = (endpoint: Endpoint) => treatment({ ...endpoint, access: "", rules: [], denyRules: [], enforcement: "" });
  return outer.access === "full" && outer.denyRules.length === 0 && inspection(outer) === inspection(inner);
}

/** Everything but where the endpoint leads and who proposed it. */
function treatment(endpoint: Endpoint): string {
  return stable({ ...endpoint, host: "", ports: [], allowedIps: [], advisorProposed: false, providerCredentialed: false });
}

const PLAIN = treatment(emptyEndpoint);

function asksForCredentials(endpoint: Endpoint): boolean {
  const { websocketCredentialRewrite, requestBodyCredentialRewrite, credentialSigning, credentialBinding } = endpoint;
  return websocketCredentialRewrite || requestBodyCredentialRewrite || credentialSigning !== "" || credentialBinding !== undefined;
}

/** What an edited endpoint still has of the added ones, by host, path selector and port: other settings may have been edited since. */
function within(endpoint: Endpoint, rule: NetworkRule): Endpoint[] {
  return onPorts(endpoint, (port) => addedPorts(endpoint, rule).has(port));
}

function without(endpoint: Endpoint, rule: NetworkRule): Endpoint[] {
  return onPorts(endpoint, (port) => !addedPorts(endpoint, rule).has(port));
}

function addedPorts(endpoint: Endpoint, rule: NetworkRule): Set<number> {
  return new Set(rule.endpoints.filter(({ host, path }) => host === endpoint.host && path === endpoint.path).flatMap(({ ports }) => ports));
}

function onPorts(endpoint: Endpoint, keep: (port: number) => boolean): Endpoint[] {
  const ports = endpoint.ports.filter(keep);
  return ports.length === 0 ? [] : [{ ...endpoint, ports }];
}

/** `name`, or the first of `name_2`, `name_3`, … that no rule has. */
export function freeKey(policy: Policy, name: string): string {
  let key = name;
  for (let n = 2; own(policy.networkPolicies, key) !== undefined; n++) key = `${name}_${n}`;
  return key;
}

/** The policy with these rules added or replaced. */
export function withRules(policy: Policy, rules: Readonly<Record<string, NetworkRule>>): Policy {
  return { ...policy, networkPolicies: { ...policy.networkPolicies, ...rules } };
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
