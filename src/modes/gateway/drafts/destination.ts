import type { Endpoint } from "../../../policy/model.ts";
import { classifyAddress, parseAddress, parseNetwork } from "./address.ts";
import { clusterHosts, clusterSuffixes, controlPlaneAt, isUnder, loopbackHosts, loopbackSuffixes, metadataHosts } from "./known.ts";
import { type Refusal, refuse } from "./refusal.ts";

/** Where the gateway itself can be reached; see DraftContext. */
export interface OwnEndpoint {
  readonly hosts: readonly string[];
  readonly port: number;
}

/** Names under which every sandbox reaches its gateway, whatever else it is called. */
const gatewayNames = new Set(["gateway.openshell.internal", "host.openshell.internal"]);

/** Names that the supervisor answers itself; a rule for them would mean nothing. */
const reservedNames = new Set(["inference.local", "policy.local"]);

/** Why no proposal may ever name this destination, whoever approves it; undefined when nothing speaks against it. */
export function refuseDestination(endpoint: Endpoint, own: OwnEndpoint): Refusal | undefined {
  return (
    refuseHost(endpoint.host) ?? endpoint.ports.map((port) => refusePort(endpoint.host, port, own)).find((refusal) => refusal !== undefined)
  );
}

function refuseHost(host: string): Refusal | undefined {
  if (metadataHosts.has(host)) return refuse("cloud_metadata", `${host} is a cloud metadata service`);
  if (loopbackHosts.has(host) || loopbackSuffixes.some((suffix) => isUnder(host, suffix))) {
    return refuse("blocked_name", `${host} is a name of the machine itself`);
  }
  if (reservedNames.has(host)) return refuse("blocked_name", `${host} is answered by the sandbox itself`);
  if (clusterHosts.has(host) || clusterSuffixes.some((suffix) => host.endsWith(`.${suffix}`) && !host.startsWith("host."))) {
    return refuse("blocked_name", `${host} is a name inside a cluster or container engine`);
  }
  const address = parseAddress(host);
  if (!address) return undefined;
  const kind = classifyAddress(address);
  if (kind.class !== "blocked") return undefined;
  return kind.kind === "cloud metadata"
    ? refuse("cloud_metadata", `${host} is a cloud metadata address`)
    : refuse("blocked_address", `${host} is a ${kind.kind} address`);
}

function refusePort(host: string, port: number, own: OwnEndpoint): Refusal | undefined {
  const control = controlPlaneAt(port);
  if (control) return refuse("control_port", `port ${port} controls ${control}`);
  if (port === own.port && (gatewayNames.has(host) || own.hosts.includes(host))) {
    return refuse("gateway_endpoint", `${host}:${port} is the gateway itself`);
  }
  return undefined;
}

/** Why an entry of `allowed_ips` is not for a proposal to choose: it names more than one address, or a blocked one. */
export function refuseAllowedIp(entry: string, trustedCidrs: readonly string[]): Refusal | undefined {
  const network = parseNetwork(entry);
  if (!network) return refuse("bad_schema", `allowed_ips: ${entry} is neither an address nor a CIDR`);
  const [address, bits] = network;
  const kind = classifyAddress(address);
  if (kind.class === "blocked") return refuse("blocked_address", `allowed_ips: ${entry} is a ${kind.kind} address`);
  const single = bits === (address.kind() === "ipv4" ? 32 : 128);
  return single || trustedCidrs.includes(entry)
    ? undefined
    : refuse("untrusted_range", `allowed_ips: ${entry} is a range; only single addresses and trusted CIDRs may be proposed`);
}
