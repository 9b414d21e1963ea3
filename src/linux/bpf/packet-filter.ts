import { FilterAssembler, type Instruction } from "../seccomp/assembler.ts";
import { IPPROTO_FRAGMENT, IPPROTO_TCP, IPPROTO_UDP, IPV6_HEADER_BYTES, packetFields, TCP_ACK, TCP_SYN } from "./packet.ts";

/** Bytes of a packet that are kept: the longest IPv4 header, or the IPv6 header with a fragment header, and the ports behind it. */
export const SNAPSHOT_BYTES = 64;
const DROP = 0;

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

/** The same for every UDP datagram; of one in fragments the first, which has the ports. */
export function datagramFilter(): Instruction[] {
  const filter = new FilterAssembler();
  const { ipv4, ipv6 } = packetFields;
  byVersion(filter);
  filter.label("ipv4").loadByte(ipv4.protocol).ifEqual(IPPROTO_UDP, undefined, "drop");
  filter.loadHalf(ipv4.fragment).ifAnyBit(ipv4.fragmentOffset, "drop", "keep");
  filter.label("ipv6").loadByte(ipv6.nextHeader).ifEqual(IPPROTO_UDP, "keep").ifEqual(IPPROTO_FRAGMENT, undefined, "drop");
  filter.loadByte(IPV6_HEADER_BYTES).ifEqual(IPPROTO_UDP, undefined, "drop");
  filter.loadHalf(IPV6_HEADER_BYTES + 2).ifAnyBit(ipv6.fragmentOffset, "drop", "keep");
  return end(filter);
}

function byVersion(filter: FilterAssembler): void {
  filter.loadByte(0).mask(0xf0).ifEqual(0x40, "ipv4").ifEqual(0x60, "ipv6", "drop");
}

function end(filter: FilterAssembler): Instruction[] {
  return filter.label("keep").return(SNAPSHOT_BYTES).label("drop").return(DROP).assemble();
}

function ipv4Word(address: string): number {
  return address.split(".").reduce((word, part) => word * 256 + Number(part), 0);
}
