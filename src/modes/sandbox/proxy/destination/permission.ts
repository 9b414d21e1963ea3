import { type AddressClass, canonicalAddress, classifyAddress } from "../../../../address/address-class.ts";
import { AddressSet } from "../../../../address/address-set.ts";
import type { MatchedEndpoint } from "../../../../engine/decision.ts";
import type { OwnAddresses } from "./own-addresses.ts";

/** Control planes of etcd, Kubernetes and the kubelet: closed on every address that is not public. */
export const CONTROL_PLANE_PORTS: ReadonlySet<number> = new Set([2379, 2380, 6443, 10250, 10255]);

/** Machine code of a destination that policy named and addresses forbid. */
export type DestinationDenial = "always_blocked" | "own_address" | "control_plane_port" | "not_in_allowed_ips" | "internal_address";

export type DestinationVerdict =
  | { readonly permitted: true }
  | { readonly permitted: false; readonly code: DestinationDenial; readonly address: string; readonly reason: string };

const PERMITTED: DestinationVerdict = { permitted: true };

export interface DestinationRules {
  /** Private networks that names may lead to; never a permission by itself. */
  readonly trusted: AddressSet;
  readonly ownAddresses: OwnAddresses;
  /** Replaced in tests, which have nothing but loopback. */
  readonly classify?: (address: string) => AddressClass;
}

/**
 * Decides whether a connection that policy allowed may go to the addresses of its host. All or nothing: one bad address refuses all, and
 * one endpoint must permit every one of them.
 */
export function checkDestination(
  host: string,
  port: number,
  addresses: readonly string[],
  endpoints: readonly MatchedEndpoint[],
  rules: DestinationRules,
): DestinationVerdict {
  const classify = rules.classify ?? classifyAddress;
  for (const address of addresses) {
    const refusal = neverAllowed(host, port, address, classify(address), rules.ownAddresses());
    if (refusal !== undefined) return refusal;
  }
  let first: DestinationVerdict | undefined;
  for (const { endpoint } of endpoints) {
    const verdict = checkEndpoint(host, addresses, endpoint.host, allowedSet(endpoint.allowedIps), rules.trusted, classify);
    if (verdict.permitted) return verdict;
    first ??= verdict;
  }
  return first ?? refuse("internal_address", addresses[0] ?? "", `${host} has no endpoint that permits its addresses, connection rejected`);
}

function neverAllowed(
  host: string,
  port: number,
  address: string,
  kind: AddressClass,
  own: ReadonlySet<string>,
): DestinationVerdict | undefined {
  if (kind === "blocked")
    return refuse("always_blocked", address, `${host} resolves to always-blocked address ${address}, connection rejected`);
  if (own.has(address))
    return refuse("own_address", address, `${host} resolves to ${address}, an address of the host itself, connection rejected`);
  if (kind === "internal" && CONTROL_PLANE_PORTS.has(port))
    return refuse("control_plane_port", address, `port ${port} is a blocked control-plane port, connection rejected`);
  return undefined;
}

function checkEndpoint(
  host: string,
  addresses: readonly string[],
  declared: string,
  allowed: AddressSet | undefined,
  trusted: AddressSet,
  classify: (address: string) => AddressClass,
): DestinationVerdict {
  for (const address of addresses) {
    if (allowed !== undefined) {
      if (!allowed.has(address))
        return refuse("not_in_allowed_ips", address, `${host} resolves to ${address} which is not in allowed_ips, connection rejected`);
    } else if (classify(address) !== "public" && !trusted.has(address) && canonicalAddress(declared) !== address) {
      return refuse("internal_address", address, `${host} resolves to internal address ${address}, connection rejected`);
    }
  }
  return PERMITTED;
}

function refuse(code: DestinationDenial, address: string, reason: string): DestinationVerdict {
  return { permitted: false, code, address, reason };
}

/** Sets are built once per endpoint; endpoints live as long as their generation. Undefined: the endpoint lists none. */
const sets = new WeakMap<readonly string[], AddressSet>();

function allowedSet(list: readonly string[]): AddressSet | undefined {
  if (list.length === 0) return undefined;
  let set = sets.get(list);
  if (set === undefined) {
    set = new AddressSet(list);
    sets.set(list, set);
  }
  return set;
}
