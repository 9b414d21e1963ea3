import { toBinary } from "../netlink/address.ts";
import { FilterAssembler, type Instruction } from "../seccomp/assembler.ts";
import { IPPROTO_FRAGMENT, IPPROTO_TCP, IPPROTO_UDP, IPV6_HEADER_BYTES, packetFields, TCP_ACK, TCP_SYN } from "./packet.ts";

/** Bytes of a packet that are kept: the longest IPv4 header, or the IPv6 header with a fragment header, and the ports behind it. */
export const SNAPSHOT_BYTES = 64;
const DROP = 0;
/** More than any packet has. */
const WHOLE_PACKET = 0xffff;
const UDP_HEADER_BYTES = 8;
const DNS_PORT = 53;
/** The QR bit, in the third byte of a DNS message (RFC 1035 section 4.1.1). */
const DNS_ANSWER = 0x80;
/** Resolvers of the agent ask from ports above; below are services, of which ours is one. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/**
 * Classic BPF for a packet socket without link header: lets only the first packet of TCP connections through (SYN without ACK), of IPv4
 * and IPv6, but not those to the proxy, which is the right way.
 */
export function tcpOpeningFilter(proxy: { readonly address: string; readonly port: number }): Instruction[] {
  const filter = new FilterAssembler();
  const { ipv4, ipv6 } = packetFields;
  byVersion(filter);
  filter.label("ipv4").loadByte(ipv4.protocol).ifEqual(IPPROTO_TCP, undefined, "drop");
  filter.loadHalf(ipv4.fragment).ifAnyBit(ipv4.fragmentOffset, "drop").skipIpv4Header();
  filter.load(ipv4.destination).ifEqual(ipv4Word(proxy.address), undefined, "flags");
  filter.loadHalf(2, "transport").ifEqual(proxy.port, "drop");
  filter.label("flags").loadByte(13, "transport").goto("opening");
  filter.label("ipv6").loadByte(ipv6.nextHeader).ifEqual(IPPROTO_TCP, undefined, "drop");
  filter.loadByte(IPV6_HEADER_BYTES + 13);
  filter
    .label("opening")
    .mask(TCP_SYN | TCP_ACK)
    .ifEqual(TCP_SYN, "keep", "drop");
  return end(filter);
}

/**
 * The same for UDP datagrams; of one in fragments the first, which has the ports.
 * @param except what `queryFilter` lets through somewhere else
 */
export function datagramFilter(except?: QuerySource): Instruction[] {
  return datagrams(except, { query: "drop", other: "keep" }).label("keep").return(SNAPSHOT_BYTES).label("drop").return(DROP).assemble();
}

/** Where questions may come from, and what is no resolver's address although it is local. */
export interface QuerySource {
  readonly ipv4: string;
  readonly ipv6: string;
  readonly broadcast: string;
}

/**
 * Lets only questions to a resolver through, whole: UDP to port 53 of any address, from the box's own addresses and an unprivileged port,
 * to one receiver, not in fragments, and not answers (threat 26: forged packets must not make the responder answer itself).
 */
export function queryFilter(source: QuerySource): Instruction[] {
  return datagrams(source, { query: "keep", other: "drop" }).label("keep").return(WHOLE_PACKET).label("drop").return(DROP).assemble();
}

/** Sorts UDP datagrams into questions and others; what is no datagram, or too short to tell, is dropped. */
function datagrams(source: QuerySource | undefined, { query, other }: Record<"query" | "other", "keep" | "drop">): FilterAssembler {
  const filter = new FilterAssembler();
  const { ipv4, ipv6 } = packetFields;
  byVersion(filter);
  filter.label("ipv4").loadByte(ipv4.protocol).ifEqual(IPPROTO_UDP, undefined, "drop");
  filter.loadHalf(ipv4.fragment).ifAnyBit(ipv4.fragmentOffset, "drop");
  if (source === undefined) {
    filter.goto(other);
  } else {
    filter.ifAnyBit(ipv4.moreFragments, other);
    filter.load(ipv4.source).ifEqual(ipv4Word(source.ipv4), undefined, other);
    filter.load(ipv4.destination).ifAtLeast(ipv4Word("224.0.0.0"), other).ifEqual(ipv4Word(source.broadcast), other);
    filter.mask(ipv4Word("255.255.0.0")).ifEqual(ipv4Word("169.254.0.0"), other).skipIpv4Header();
    filter.loadHalf(0, "transport").ifAtLeast(FIRST_UNPRIVILEGED_PORT, undefined, other);
    filter.loadHalf(2, "transport").ifEqual(DNS_PORT, undefined, other);
    filter.loadByte(UDP_HEADER_BYTES + 2, "transport").ifAnyBit(DNS_ANSWER, other, query);
  }
  filter.label("ipv6").loadByte(ipv6.nextHeader).ifEqual(IPPROTO_UDP, "datagram").ifEqual(IPPROTO_FRAGMENT, undefined, "drop");
  filter.loadByte(IPV6_HEADER_BYTES).ifEqual(IPPROTO_UDP, undefined, "drop");
  filter.loadHalf(IPV6_HEADER_BYTES + 2).ifAnyBit(ipv6.fragmentOffset, "drop", other);
  filter.label("datagram");
  if (source === undefined) return filter.goto(other);
  for (const [index, word] of ipv6Words(source.ipv6).entries()) filter.load(ipv6.source + 4 * index).ifEqual(word, undefined, other);
  filter.loadByte(ipv6.destination).ifEqual(0xff, other);
  filter.loadHalf(ipv6.destination).mask(0xffc0).ifEqual(0xfe80, other);
  filter.loadHalf(IPV6_HEADER_BYTES).ifAtLeast(FIRST_UNPRIVILEGED_PORT, undefined, other);
  filter.loadHalf(IPV6_HEADER_BYTES + 2).ifEqual(DNS_PORT, undefined, other);
  return filter.loadByte(IPV6_HEADER_BYTES + UDP_HEADER_BYTES + 2).ifAnyBit(DNS_ANSWER, other, query);
}

function byVersion(filter: FilterAssembler): void {
  filter.loadByte(0).mask(0xf0).ifEqual(0x40, "ipv4").ifEqual(0x60, "ipv6", "drop");
}

function end(filter: FilterAssembler): Instruction[] {
  return filter.label("keep").return(SNAPSHOT_BYTES).label("drop").return(DROP).assemble();
}

function ipv6Words(address: string): number[] {
  const bytes = Buffer.from(toBinary(address).bytes);
  return [0, 4, 8, 12].map((at) => bytes.readUInt32BE(at));
}

function ipv4Word(address: string): number {
  return address.split(".").reduce((word, part) => word * 256 + Number(part), 0);
}
