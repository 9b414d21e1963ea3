import { close } from "../descriptors.ts";
import { KernelError } from "../kernel-error.ts";
import { check, syscall } from "../libc.ts";
import { AF_INET, AF_INET6, toBinary, toText } from "./address.ts";
import { attribute, NLM_F_CREATE, NLM_F_EXCL, parseAttributes, unsigned32 } from "./message.ts";
import { dump, NETLINK_ROUTE, openNetlink, request } from "./socket.ts";

/** rtnetlink (include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h, veth.h). Every call acts on the current network namespace. */
const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const IFF_UP = 1;
/** Without it an IPv6 address is unusable for a second, until duplicate detection has ended. */
const IFA_F_NODAD = 0x02;
const RT_SCOPE_HOST = 254;
const RT_TABLE_LOCAL = 255;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
/** Index of the loopback interface in every network namespace. */
export const LOOPBACK_INDEX = 1;

/** Sets an interface up. */
export function setLinkUp(index: number): void {
  routeRequest("set link up", RTM_NEWLINK, 0, interfaceInfo(index, IFF_UP, IFF_UP));
}

/** Turns off the automatic link-local address of IPv6 on an interface (IFLA_INET6_ADDR_GEN_MODE = none); call before it is set up. */
export function disableLinkLocal(index: number): void {
  const IFLA_AF_SPEC = 26;
  const IFLA_INET6_ADDR_GEN_MODE = 8;
  const IN6_ADDR_GEN_MODE_NONE = 1;
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
  const specification = attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode));
  routeRequest("disable IPv6 link-local", RTM_NEWLINK, 0, Buffer.concat([interfaceInfo(index), specification]));
}

/** Makes a virtual cable: `name` here, `peerName` in the network namespace behind `peerNamespace`. */
export function addVethPair(name: string, peerName: string, peerNamespace: number): void {
  const IFLA_IFNAME = 3;
  const IFLA_LINKINFO = 18;
  const IFLA_NET_NS_FD = 28;
  const IFLA_INFO_KIND = 1;
  const IFLA_INFO_DATA = 2;
  const VETH_INFO_PEER = 1;
  const peer = attribute(
    VETH_INFO_PEER,
    Buffer.concat([interfaceInfo(0), attribute(IFLA_IFNAME, text(peerName)), attribute(IFLA_NET_NS_FD, unsigned32(peerNamespace))]),
  );
  const info = Buffer.concat([attribute(IFLA_INFO_KIND, Buffer.from("veth")), attribute(IFLA_INFO_DATA, peer)]);
  routeRequest(
    "add veth pair",
    RTM_NEWLINK,
    NLM_F_CREATE | NLM_F_EXCL,
    Buffer.concat([interfaceInfo(0), attribute(IFLA_IFNAME, text(name)), attribute(IFLA_LINKINFO, info)]),
  );
}

/** Adds an address to an interface. */
export function addAddress(index: number, address: string, prefixLength: number): void {
  const IFA_ADDRESS = 1;
  const IFA_LOCAL = 2;
  const { family, bytes } = toBinary(address);
  const header = Buffer.alloc(8);
  header[0] = family;
  header[1] = prefixLength;
  header[2] = family === AF_INET6 ? IFA_F_NODAD : 0;
  header.writeInt32LE(index, 4);
  const payload = Buffer.concat([header, attribute(IFA_LOCAL, bytes), attribute(IFA_ADDRESS, bytes)]);
  routeRequest(`add address ${address}`, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, payload);
}

/** Adds the default route through `gateway`. */
export function addDefaultRoute(index: number, gateway: string): void {
  const { family, bytes } = toBinary(gateway);
  const payload = routePayload({ family, prefix: undefined, table: RT_TABLE_MAIN, type: RTN_UNICAST, scope: 0, index, gateway: bytes });
  routeRequest(`add default route via ${gateway}`, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload);
}

/** Makes every address of `address/length` local to this namespace (AnyIP): connections to them reach listeners on the wildcard address. */
export function addLocalPrefix(address: string, length: number): void {
  const { family, bytes } = toBinary(address);
  const payload = routePayload({
    family,
    prefix: length === 0 ? undefined : { bytes, length },
    table: RT_TABLE_LOCAL,
    type: RTN_LOCAL,
    scope: family === AF_INET ? RT_SCOPE_HOST : 0,
    index: LOOPBACK_INDEX,
    gateway: undefined,
  });
  routeRequest(`make ${address}/${length} local`, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload);
}

/**
 * Makes every IPv6 address local for which there is no other route. `addLocalPrefix("::", 0)` would stand before the routes of the links
 * themselves and break neighbour discovery; this asks a table of its own after all others.
 */
export function addLocalLastResort(): void {
  const RTM_NEWRULE = 32;
  const FRA_PRIORITY = 6;
  const FR_ACT_TO_TBL = 1;
  const OWN_TABLE = 100;
  /** Behind the main table (32766) and the default table (32767). */
  const LAST = 32_768;
  const route = {
    family: AF_INET6,
    prefix: undefined,
    table: OWN_TABLE,
    type: RTN_LOCAL,
    scope: 0,
    index: LOOPBACK_INDEX,
    gateway: undefined,
  };
  routeRequest("make all of IPv6 local", RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, routePayload(route));
  // struct fib_rule_hdr
  const rule = Buffer.from([AF_INET6, 0, 0, 0, OWN_TABLE, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]);
  const payload = Buffer.concat([rule, attribute(FRA_PRIORITY, unsigned32(LAST))]);
  routeRequest("ask for local IPv6 addresses last", RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, payload);
}

/** Every address of every interface of the current network namespace, as text (RTM_GETADDR). */
export function listAddresses(): string[] {
  const IFA_ADDRESS = 1;
  const IFA_LOCAL = 2;
  const fd = openNetlink(NETLINK_ROUTE);
  try {
    const addresses = new Set<string>();
    for (const entry of dump(fd, RTM_GETADDR, Buffer.alloc(8))) {
      if (entry.type !== RTM_NEWADDR) continue;
      const attributes = parseAttributes(entry.payload, 8);
      // On a point-to-point link IFA_ADDRESS is the peer; IFA_LOCAL is ours when present.
      const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
      if (bytes !== undefined && (bytes.length === 4 || bytes.length === 16)) addresses.add(toText(bytes));
    }
    return [...addresses];
  } finally {
    close(fd);
  }
}

/** Index of an interface by name. */
export function interfaceIndex(name: string): number {
  const SIOCGIFINDEX = 0x8933;
  const SOCK_DGRAM = 2;
  const socket = check(syscall("socket", AF_INET, SOCK_DGRAM, 0), "socket");
  try {
    const request = Buffer.alloc(40);
    request.write(name, 0, 15);
    check(syscall("ioctl", socket, SIOCGIFINDEX, request), "find interface", name);
    return request.readInt32LE(16);
  } finally {
    close(socket);
  }
}

interface Route {
  readonly family: number;
  readonly prefix: { readonly bytes: Uint8Array; readonly length: number } | undefined;
  readonly table: number;
  readonly type: number;
  readonly scope: number;
  readonly index: number;
  readonly gateway: Uint8Array | undefined;
}

/** struct rtmsg and its attributes. */
function routePayload(route: Route): Buffer {
  const RTA_DST = 1;
  const RTA_OIF = 4;
  const RTA_GATEWAY = 5;
  const parts: Buffer[] = [
    Buffer.from([route.family, route.prefix?.length ?? 0, 0, 0, route.table, RTPROT_BOOT, route.scope, route.type, 0, 0, 0, 0]),
  ];
  if (route.prefix) parts.push(attribute(RTA_DST, route.prefix.bytes));
  if (route.gateway) parts.push(attribute(RTA_GATEWAY, route.gateway));
  parts.push(attribute(RTA_OIF, unsigned32(route.index)));
  return Buffer.concat(parts);
}

/** struct ifinfomsg. */
function interfaceInfo(index: number, flags = 0, change = 0): Buffer {
  const info = Buffer.alloc(16);
  info.writeInt32LE(index, 4);
  info.writeUInt32LE(flags, 8);
  info.writeUInt32LE(change, 12);
  return info;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

function routeRequest(what: string, type: number, flags: number, payload: Uint8Array): void {
  const fd = openNetlink(NETLINK_ROUTE);
  try {
    const result = request(fd, type, flags, payload);
    if (result !== 0) throw new KernelError(what, -result);
  } finally {
    close(fd);
  }
}
