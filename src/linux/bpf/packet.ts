import { toText } from "../netlink/address.ts";

/** Where things are in an IP packet (RFC 791, RFC 8200, RFC 9293, RFC 768). */
export const packetFields = {
  ipv4: { fragment: 6, fragmentOffset: 0x1fff, moreFragments: 0x2000, protocol: 9, source: 12, destination: 16, minimum: 20 },
  ipv6: { nextHeader: 6, source: 8, destination: 24, fragmentOffset: 0xfff8 },
} as const;
export const IPV6_HEADER_BYTES = 40;
const FRAGMENT_HEADER_BYTES = 8;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_FRAGMENT = 44;
export const TCP_SYN = 0x02;
export const TCP_ACK = 0x10;

/** The ends of one packet, as text and numbers. */
export interface PacketEnds {
  readonly protocol: number;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
}

/** One UDP datagram with what it carries. */
export interface Datagram extends PacketEnds {
  readonly payload: Buffer;
}

const UDP_HEADER_BYTES = 8;

/** Reads a whole, unfragmented packet without IPv6 extension headers; undefined when it is anything but one complete UDP datagram. */
export function parseDatagram(packet: Buffer): Datagram | undefined {
  const header = parsePacket(packet);
  if (header?.protocol !== IPPROTO_UDP) return undefined;
  const at = (packet[0] ?? 0) >> 4 === 4 ? ((packet[0] ?? 0) & 0x0f) * 4 : IPV6_HEADER_BYTES;
  if (packet.length < at + UDP_HEADER_BYTES) return undefined;
  const size = packet.readUInt16BE(at + 4);
  if (size < UDP_HEADER_BYTES || packet.length < at + size) return undefined;
  return { ...header, payload: packet.subarray(at + UDP_HEADER_BYTES, at + size) };
}

/** Reads the beginning of a packet; undefined when it is cut short or of no kind we know. */
export function parsePacket(packet: Buffer): PacketEnds | undefined {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) return parseIpv4(packet);
  if (version === 6) return parseIpv6(packet);
  return undefined;
}

function parseIpv4(packet: Buffer): PacketEnds | undefined {
  const { protocol, source, destination, minimum } = packetFields.ipv4;
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
  if (headerBytes < minimum) return undefined;
  return ends(
    packet,
    packet[protocol] ?? 0,
    headerBytes,
    packet.subarray(source, source + 4),
    packet.subarray(destination, destination + 4),
  );
}

function parseIpv6(packet: Buffer): PacketEnds | undefined {
  const { nextHeader, source, destination } = packetFields.ipv6;
  const fragment = packet[nextHeader] === IPPROTO_FRAGMENT;
  const protocol = packet[fragment ? IPV6_HEADER_BYTES : nextHeader] ?? 0;
  const headerBytes = IPV6_HEADER_BYTES + (fragment ? FRAGMENT_HEADER_BYTES : 0);
  return ends(packet, protocol, headerBytes, packet.subarray(source, source + 16), packet.subarray(destination, destination + 16));
}

function ends(packet: Buffer, protocol: number, headerBytes: number, from: Buffer, to: Buffer): PacketEnds | undefined {
  if (packet.length < headerBytes + 4) return undefined;
  return {
    protocol,
    source: { address: toText(from), port: packet.readUInt16BE(headerBytes) },
    destination: { address: toText(to), port: packet.readUInt16BE(headerBytes + 2) },
  };
}
