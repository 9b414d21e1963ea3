import ipaddr from "ipaddr.js";
import { isAddress } from "./validate-host.ts";

type Address = ReturnType<typeof ipaddr.parse>;
type Range = readonly [Address, number];

/** Never reachable, whatever a policy says: loopback, link-local with cloud metadata, unspecified (the classes of the address check). */
const FORBIDDEN: readonly Range[] = [
  ...["127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/32"],
  ...["::1/128", "::/128", "fe80::/10"],
  // Ranges wide enough to hold the IPv4-mapped forms are compared as IPv6.
  ...["::ffff:127.0.0.0/104", "::ffff:169.254.0.0/112", "::ffff:0.0.0.0/128"],
].map((text) => ipaddr.parseCIDR(text));
/** `::ffff:0:0/96`: IPv4 addresses inside IPv6 (RFC 4291 §2.5.5.2). */
const MAPPED_BITS = 96;

/** What is wrong with an entry of `allowed_ips`; undefined when nothing is. */
export function allowedIpProblem(entry: string): string | undefined {
  const range = parseRange(entry);
  if (range === undefined) return `'${entry}' is neither an address nor a CIDR`;
  const network = networkOf(range);
  const forbidden = FORBIDDEN.find((other) => overlap(network, other));
  if (forbidden !== undefined) return `'${entry}' covers ${forbidden[0]}/${forbidden[1]}, which is never allowed`;
  return undefined;
}

/** Bits of the prefix, for warnings; IPv4-mapped ranges count as IPv4. */
export function prefixBits(entry: string): { bits: number; family: "ipv4" | "ipv6" } | undefined {
  const range = parseRange(entry);
  return range && { bits: range[1], family: range[0].kind() };
}

/** True when every address of `inner` is in `outer`; false when one of them cannot be read. */
export function rangeWithin(inner: string, outer: string): boolean {
  const [a, b] = [parseRange(inner), parseRange(outer)];
  return a !== undefined && b !== undefined && a[0].kind() === b[0].kind() && a[1] >= b[1] && a[0].match(b[0] as never, b[1]);
}

/** An address or CIDR; IPv4-mapped forms become IPv4. */
function parseRange(entry: string): Range | undefined {
  const [address = "", prefix, ...more] = entry.split("/");
  if (more.length > 0 || !isAddress(address) || (prefix !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(prefix))) return undefined;
  const parsed = ipaddr.parse(address);
  const width = parsed.kind() === "ipv4" ? 32 : 128;
  const bits = prefix === undefined ? width : Number(prefix);
  if (bits > width) return undefined;
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() && bits >= MAPPED_BITS)
    return [parsed.toIPv4Address(), bits - MAPPED_BITS];
  return [parsed, bits];
}

function networkOf([address, bits]: Range): Range {
  const bytes = address.toByteArray().map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff);
  return [ipaddr.fromByteArray(bytes), bits];
}

function overlap(a: Range, b: Range): boolean {
  if (a[0].kind() !== b[0].kind()) return false;
  const bits = Math.min(a[1], b[1]);
  return a[0].match(b[0] as never, bits);
}
