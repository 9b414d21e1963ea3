import { getPublicSuffix } from "tldts";
import type { Violation } from "../error.ts";
import { allowedIpProblem, prefixBits } from "./allowed-ips.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Endpoint, Policy, RequestRule } from "./model.ts";
import { isAddress } from "./validate-host.ts";
import { isAccountName } from "./validate-process.ts";
import { isInspected } from "./validate-rules.ts";

const HTTP_METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "WEBSOCKET_TEXT", "*"]);
const WEBSOCKET_METHODS = new Set(["GET", "WEBSOCKET_TEXT", "*"]);
/** Shorter prefixes name more than one organisation's network: /16 is what existing gateways warn about, /32 is what a provider gets in IPv6. */
const BROAD_BITS = { ipv4: 16, ipv6: 32 } as const;

/** What is accepted and probably not meant, with the reason. Never a ground for refusal. */
export function policyWarnings(policy: Policy): Violation[] {
  const warnings: Violation[] = [];
  for (const [field, value] of Object.entries({ run_as_user: policy.process?.runAsUser, run_as_group: policy.process?.runAsGroup })) {
    if (value === undefined || !isAccountName(value)) continue;
    warnings.push({
      field: `process.${field}`,
      message: `'${value}' is a name of this host: only \`sandbox run\` without a gateway takes it`,
    });
  }
  for (const [key, rule] of Object.entries(policy.networkPolicies)) {
    const at: Path = ["network_policies", key];
    if (rule.endpoints.length === 0)
      warnings.push({ field: fieldPath([...at, "endpoints"]), message: "is empty: the rule allows nothing" });
    if (rule.binaries.length === 0) warnings.push({ field: fieldPath([...at, "binaries"]), message: "is empty: the rule allows nothing" });
    for (const [i, endpoint] of rule.endpoints.entries()) warnings.push(...endpointWarnings(endpoint, [...at, "endpoints", i]));
  }
  return warnings;
}

function* endpointWarnings(endpoint: Endpoint, at: Path): Generator<Violation> {
  const field = fieldPath(at);
  const inspected = isInspected(endpoint.protocol);
  yield* hostWarnings(endpoint, field);
  if (endpoint.tls === "terminate" || endpoint.tls === "passthrough") {
    yield {
      field: `${field}.tls`,
      message: `${endpoint.tls} is deprecated and means nothing: TLS is terminated wherever requests are inspected`,
    };
  }
  if (endpoint.tls === "skip" && inspected) {
    const fate = endpoint.enforcement === "enforce" ? "they are refused" : "they are let through and logged";
    yield {
      field: `${field}.tls`,
      message: `skip hides the requests of TLS connections: ${fate}, because ${endpoint.protocol} rules cannot be checked`,
    };
  }
  if (inspected && endpoint.enforcement === "") {
    yield {
      field,
      message:
        "has no enforcement: requests that break its rules are let through and logged (audit); write enforcement: enforce to refuse them",
    };
  }
  if (!inspected && endpoint.enforcement !== "")
    yield { field: `${field}.enforcement`, message: "means nothing without a protocol whose requests are inspected" };
  if (endpoint.credentialSigning === "" && (endpoint.signingService !== "" || endpoint.signingRegion !== "")) {
    yield { field: `${field}.signing_service`, message: "means nothing without credential_signing" };
  }
  for (const [i, entry] of endpoint.allowedIps.entries()) {
    const prefix = prefixBits(entry);
    if (prefix && prefix.bits < BROAD_BITS[prefix.family]) {
      yield { field: `${field}.allowed_ips[${i}]`, message: `'${entry}' is broader than /${BROAD_BITS[prefix.family]}` };
    }
  }
  for (const [i, rule] of endpoint.rules.entries()) yield* ruleWarnings(rule, endpoint, [...at, "rules", i, "allow"]);
  for (const [i, rule] of endpoint.denyRules.entries()) yield* ruleWarnings(rule, endpoint, [...at, "deny_rules", i]);
}

function* hostWarnings({ host, ports }: Endpoint, field: string): Generator<Violation> {
  if (isAddress(host) && allowedIpProblem(host) !== undefined) {
    yield {
      field: `${field}.host`,
      message: `'${host}' is refused in every sandbox: loopback, link-local and metadata addresses are never reached`,
    };
  }
  const tail = host.replace(/^.*\*[^.]*\./, "");
  if (host.includes("*") && getPublicSuffix(tail, { allowPrivateDomains: true }) === tail) {
    yield { field: `${field}.host`, message: `'${host}' covers every customer of the public suffix ${tail}` };
  }
  if (host === "")
    yield {
      field: `${field}.host`,
      message: `is missing: every name that resolves into allowed_ips is allowed on port ${ports.join(", ")}`,
    };
}

function* ruleWarnings(rule: RequestRule, { protocol }: Endpoint, at: Path): Generator<Violation> {
  const known = protocol === "rest" ? HTTP_METHODS : protocol === "websocket" ? WEBSOCKET_METHODS : undefined;
  if (known && rule.method !== "" && !known.has(rule.method.toUpperCase())) {
    yield { field: fieldPath([...at, "method"]), message: `'${rule.method}' is not a known method` };
  }
}
