import blocked from "../../../../../policies/data/blocked-destinations.json" with { type: "json" };
import type { MatchedEndpoint } from "../../../../engine/decision.ts";
import type { DestinationVerdict } from "../destination/permission.ts";

const never = new Set([...blocked.metadataHosts, ...blocked.loopbackHosts]);

/** Names that mean the machine itself or its metadata service wherever they are resolved. */
function isNever(host: string): boolean {
  return never.has(host) || blocked.loopbackSuffixes.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
}

/**
 * What can be said of a name that the upstream proxy resolves, without asking anybody: its addresses are the proxy's to judge. What needs
 * them to be known here is refused.
 */
export function checkProxied(host: string, endpoints: readonly MatchedEndpoint[]): DestinationVerdict {
  if (isNever(host)) return refuse("always_blocked", host, `${host} means the machine that resolves it, connection rejected`);
  if (endpoints.some(({ endpoint }) => endpoint.allowedIps.length === 0)) return { permitted: true };
  const reason = `${host} is resolved by the upstream proxy, so that its addresses cannot be compared with allowed_ips; --upstream-no-proxy dials it directly`;
  return refuse("not_in_allowed_ips", host, reason);
}

function refuse(code: "always_blocked" | "not_in_allowed_ips", address: string, reason: string): DestinationVerdict {
  return { permitted: false, code, address, reason };
}
