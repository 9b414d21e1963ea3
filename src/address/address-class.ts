import ipaddr from "ipaddr.js";

/**
 * What an address is to us.
 * `public`: reachable by policy alone. `internal`: private or special-use, needs `allowed_ips` or a trusted CIDR.
 * `blocked`: never, whatever a policy says.
 */
export type AddressClass = "public" | "internal" | "blocked";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
type Range = readonly [Address, number];

const ranges = (list: readonly string[]): readonly Range[] => list.map((cidr) => ipaddr.parseCIDR(cidr));

/** Loopback, link-local, unspecified, multicast and broadcast: the machine itself or nobody (RFC 6890, RFC 5771). */
const BLOCKED_V4 = ranges(["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"]);
const BLOCKED_V6 = ranges(["::/128", "::1/128", "fe80::/10", "ff00::/8"]);

/**
 * Cloud metadata services outside link-local: Alibaba, Azure's wire server, Oracle's former address, AWS over IPv6 (IMDS, EKS pod
 * identity), Google over IPv6, Scaleway. An answer from them is a credential.
 */
const METADATA_V4 = ranges(["100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"]);
const METADATA_V6 = ranges(["fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128"]);

/** IANA IPv4 special-purpose registry, entries that are not globally reachable. */
const INTERNAL_V4 = ranges([
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "240.0.0.0/4",
]);
/** IANA IPv6 special-purpose registry inside 2000::/3, entries that are not globally reachable. Everything outside 2000::/3 is internal. */
const INTERNAL_V6 = ranges(["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]);
const GLOBAL_UNICAST = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

const MAPPED = ipaddr.parseCIDR("::ffff:0:0/96") as [ipaddr.IPv6, number];
const COMPATIBLE = ipaddr.parseCIDR("::/96") as [ipaddr.IPv6, number];
const NAT64 = ipaddr.parseCIDR("64:ff9b::/96") as [ipaddr.IPv6, number];
const NAT64_LOCAL = ipaddr.parseCIDR("64:ff9b:1::/48") as [ipaddr.IPv6, number];
const SIX_TO_FOUR = ipaddr.parseCIDR("2002::/16") as [ipaddr.IPv6, number];
const TEREDO = ipaddr.parseCIDR("2001::/32") as [ipaddr.IPv6, number];

const DOTTED_QUAD = /^\d{1,3}(?:\.\d{1,3}){3}$/;

/** Reads an address literal in dotted decimal or IPv6 form; undefined for everything else. Mapped IPv4 becomes IPv4, as the kernel dials it. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes(":")) {
    if (text.includes("%") || !ipaddr.IPv6.isValid(text)) return undefined;
    const address = ipaddr.IPv6.parse(text);
    return address.match(MAPPED) ? address.toIPv4Address() : address;
  }
  return DOTTED_QUAD.test(text) && ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : undefined;
}

/** The one spelling of an address: dotted decimal, or compressed lower-case IPv6; undefined when it is none. */
export function canonicalAddress(text: string): string | undefined {
  return parseAddress(text)?.toString();
}

/** Classes found before: an agent talks to few addresses, and reading one takes a hundred times as long as looking it up. */
const found = new Map<string, AddressClass>();
const MAX_FOUND = 1024;

/** The class of an address literal; what cannot be read is `blocked`. IPv4 addresses embedded in IPv6 count as what they lead to. */
export function classifyAddress(text: string): AddressClass {
  const known = found.get(text);
  if (known !== undefined) return known;
  if (found.size >= MAX_FOUND) found.clear();
  const kind = classOf(text);
  found.set(text, kind);
  return kind;
}

function classOf(text: string): AddressClass {
  const address = parseAddress(text);
  if (address === undefined) return "blocked";
  return address.kind() === "ipv4" ? classifyV4(address) : classifyV6(address as ipaddr.IPv6);
}

/** True for the address of a cloud metadata service. */
export function isMetadataAddress(text: string): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  return address.toString() === "169.254.169.254" || within(address, METADATA_V4) || within(address, METADATA_V6);
}

function classifyV4(address: Address): AddressClass {
  if (within(address, BLOCKED_V4) || within(address, METADATA_V4)) return "blocked";
  return within(address, INTERNAL_V4) ? "internal" : "public";
}

function classifyV6(address: ipaddr.IPv6): AddressClass {
  if (within(address, BLOCKED_V6) || within(address, METADATA_V6)) return "blocked";
  if (address.match(NAT64)) return innerAddresses(address).map(classifyV4)[0] ?? "blocked";
  if (innerAddresses(address).some((inner) => classifyV4(inner) === "blocked")) return "blocked";
  return !address.match(GLOBAL_UNICAST) || within(address, INTERNAL_V6) ? "internal" : "public";
}

/** IPv4 addresses that an IPv6 address leads to: compatible, NAT64, 6to4, Teredo (server, and client stored inverted), ISATAP. */
export function innerAddresses(address: ipaddr.IPv6): ipaddr.IPv4[] {
  const bytes = address.toByteArray();
  const inner: ipaddr.IPv4[] = [];
  if (address.match(COMPATIBLE) || address.match(NAT64) || address.match(NAT64_LOCAL)) inner.push(embedded(bytes, 12));
  if (address.match(SIX_TO_FOUR)) inner.push(embedded(bytes, 2));
  if (address.match(TEREDO)) {
    const inverted = bytes.map((byte) => byte ^ 0xff);
    inner.push(embedded(bytes, 4), embedded(inverted, 12));
  }
  const isatap = bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe && ((bytes[8] ?? 0) & 0xfd) === 0;
  if (isatap) inner.push(embedded(bytes, 12));
  return inner;
}

function embedded(bytes: number[], at: number): ipaddr.IPv4 {
  return new ipaddr.IPv4(bytes.slice(at, at + 4));
}

function within(address: Address, list: readonly Range[]): boolean {
  for (const [network, bits] of list) if (network.kind() === address.kind() && address.match(network as never, bits)) return true;
  return false;
}
