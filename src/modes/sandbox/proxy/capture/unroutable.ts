import { classifyAddress } from "../../../../address/address-class.ts";
import { AddressSet } from "../../../../address/address-set.ts";
import { boxAddresses, IPV4_PREFIX_LENGTH, IPV6_PREFIX_LENGTH, trapAddresses } from "../../box/net-addresses.ts";
import { isSynthetic } from "../dns/synthetic-names.ts";

/** Why a captured connection is refused before anything is asked about it. */
export interface Unroutable {
  readonly code: "always_blocked" | "own_address" | "unknown_name";
  readonly reason: string;
}

/** The network between box and trap: whatever is meant by these addresses, it is not outside. */
const ownNetwork = new AddressSet([`${boxAddresses.ipv4}/${IPV4_PREFIX_LENGTH}`, `${boxAddresses.ipv6}/${IPV6_PREFIX_LENGTH}`]);

/**
 * Addresses that no captured connection may mean: those that stand for names nobody asked for, link-local, multicast, unspecified, loopback, metadata services, and the sandbox's own
 * network. (The proxy's own port never comes this way.) Undefined for every other.
 */
export function unroutable(address: string): Unroutable | undefined {
  if (ownNetwork.has(address)) {
    const { ipv4, ipv6 } = trapAddresses;
    const what =
      address === ipv4 || address === ipv6 ? "the proxy's address, which offers nothing on this port" : "in the sandbox's own network";
    return { code: "own_address", reason: `${address} is ${what}` };
  }
  if (isSynthetic(address)) return { code: "unknown_name", reason: `${address} stands for names, but for none that was asked for here` };
  if (classifyAddress(address) !== "blocked") return undefined;
  return { code: "always_blocked", reason: `${address} is an address that is always blocked` };
}
