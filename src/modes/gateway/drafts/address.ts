import type ipaddr from "ipaddr.js";
import { classifyAddress as classify, parseAddress } from "../../../address/address-class.ts";
import { addressKind } from "../../../address/address-kind.ts";
import { AddressSet } from "../../../address/address-set.ts";

/** `blocked` never becomes reachable, `internal` needs a permission of its own, `public` is the internet: the classes that the sandbox enforces. */
export interface ClassifiedAddress {
  readonly class: ReturnType<typeof classify>;
  /** For people: `loopback`, `cloud metadata`, `private`. */
  readonly kind: string;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

export { parseAddress };

/** What kind of place an address is. */
export function classifyAddress(address: Address): ClassifiedAddress {
  const text = address.toString();
  return { class: classify(text), kind: addressKind(text) };
}

/** Whether `entry`, a CIDR or a bare address, contains the address. An unreadable entry contains nothing. */
export function containsAddress(entry: string, address: Address): boolean {
  return new AddressSet([entry]).has(address.toString());
}

/** Network and prefix length of a CIDR or a bare address; undefined when it is neither. */
export function parseNetwork(entry: string): [Address, number] | undefined {
  const [base = "", prefix, ...rest] = entry.split("/");
  const address = parseAddress(base);
  if (!address || rest.length > 0) return undefined;
  const width = address.kind() === "ipv4" ? 32 : 128;
  if (prefix === undefined) return [address, width];
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= width ? [address, Number(prefix)] : undefined;
}

/** The CIDR of exactly one address. */
export function singleAddress(address: Address): string {
  return `${address.toString()}/${address.kind() === "ipv4" ? 32 : 128}`;
}
