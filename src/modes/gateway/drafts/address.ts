import ipaddr from "ipaddr.js";
import { metadataAddresses } from "./known.ts";

/** `blocked` never becomes reachable, `private` needs a permission of its own, `public` is the internet. */
export type AddressClass = "blocked" | "private" | "public";

export interface ClassifiedAddress {
  readonly class: AddressClass;
  /** For people: `loopback`, `cloud metadata`, `private`. */
  readonly kind: string;
}

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Ranges of ipaddr.js that lead to this machine or link; whatever is neither here nor `unicast` is private or reserved. */
const blockedRanges: Readonly<Record<string, string>> = {
  unspecified: "unspecified",
  broadcast: "broadcast",
  multicast: "multicast",
  linkLocal: "link-local",
  loopback: "loopback",
};

const metadata = new Set(metadataAddresses.map((address) => ipaddr.parse(address).toNormalizedString()));

/** RFC 6890 and its successors name these; ipaddr.js calls them unicast. */
const furtherReserved = [
  "192.0.0.0/24",
  "198.18.0.0/15",
  "192.88.99.0/24",
  "100::/64",
  "2001::/23",
  "3fff::/20",
  "5f00::/16",
  "fec0::/10",
].map((cidr) => ipaddr.parseCIDR(cidr));

/**
 * Parses an address literal in its one canonical spelling; undefined for anything else. Octal, hexadecimal, short and
 * decimal forms are not addresses here: two parsers may read them differently.
 */
export function parseAddress(text: string): Address | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : undefined;
  return text.includes(":") && !text.includes("%") && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
}

/** What kind of place an address is; IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) counts as the IPv4 address. */
export function classifyAddress(address: Address): ClassifiedAddress {
  if (metadata.has(address.toNormalizedString())) return { class: "blocked", kind: "cloud metadata" };
  const inner = embedded(address);
  if (inner) return classifyAddress(inner);
  const range = address.range();
  const blockedKind = blockedRanges[range];
  if (blockedKind) return { class: "blocked", kind: blockedKind };
  if (address instanceof ipaddr.IPv4 && address.octets[0] === 0) return { class: "blocked", kind: "unspecified" };
  if (range !== "unicast" || furtherReserved.some(([network, bits]) => sameFamily(address, network) && address.match(network, bits))) {
    return { class: "private", kind: range === "unicast" || range === "reserved" ? "reserved" : "private" };
  }
  return { class: "public", kind: "public" };
}

/** Whether `entry`, a CIDR or a bare address, contains the address. An unreadable entry contains nothing. */
export function containsAddress(entry: string, address: Address): boolean {
  const network = parseNetwork(entry);
  if (!network) return false;
  const candidate = sameFamily(address, network[0]) ? address : embedded(address);
  return candidate !== undefined && sameFamily(candidate, network[0]) && candidate.match(network[0], network[1]);
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

function sameFamily(a: Address, b: Address): boolean {
  return a.kind() === b.kind();
}

/** The IPv4 address that an IPv6 address stands for, if its prefix says so. */
function embedded(address: Address): ipaddr.IPv4 | undefined {
  if (!(address instanceof ipaddr.IPv6)) return undefined;
  const bytes = address.toByteArray();
  switch (address.range()) {
    case "ipv4Mapped":
      return address.toIPv4Address();
    case "rfc6052": // NAT64: the last four bytes
    case "rfc6145":
      return new ipaddr.IPv4(bytes.slice(12, 16));
    case "6to4": // 2002:AABB:CCDD::
      return new ipaddr.IPv4(bytes.slice(2, 6));
    case "teredo": // the client's address, inverted
      return new ipaddr.IPv4(bytes.slice(12, 16).map((byte) => byte ^ 0xff));
    default:
      return bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 16).some((byte) => byte > 0) && !isLoopback(bytes)
        ? new ipaddr.IPv4(bytes.slice(12, 16)) // ::a.b.c.d, deprecated but still routed by some stacks
        : undefined;
  }
}

function isLoopback(bytes: number[]): boolean {
  return bytes.slice(12, 15).every((byte) => byte === 0) && bytes[15] === 1;
}
