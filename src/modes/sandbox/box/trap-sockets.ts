import { datagramFilter, type QuerySource, queryFilter, tcpOpeningFilter } from "../../../linux/bpf/packet-filter.ts";
import { openPacketSocket } from "../../../linux/bpf/packet-socket.ts";
import { attachToNamespace, createSocketMap, loadSocketLookup, putSocket } from "../../../linux/bpf/program.ts";
import { IPV4_LISTENER, IPV6_LISTENER, steeringProgram } from "../../../linux/bpf/steer.ts";
import { openReplySocket } from "../../../linux/datagram-reply.ts";
import { close } from "../../../linux/descriptors.ts";
import { listenTcp } from "../../../linux/listener.ts";
import { openOwnNamespace } from "../../../linux/namespaces.ts";
import {
  BROADCAST,
  boxAddresses,
  CAPTURE_BACKLOG,
  DNS_PORT,
  PROXY_PORT,
  QUESTION_QUEUE,
  trapAddresses,
  WATCH_QUEUE,
} from "./net-addresses.ts";

const proxy = { address: trapAddresses.ipv4, port: PROXY_PORT };
const resolverClients: QuerySource = { ...boxAddresses, broadcast: BROADCAST };
/** Connections are steered to the listeners whatever their own port is. */
const ANY_PORT = 0;

/** Listeners of every port that is not the proxy's. */
export interface CaptureDescriptors {
  readonly ipv4: number;
  /** Absent where the kernel has no IPv6. */
  readonly ipv6?: number;
  /** Keeps the steering alive. */
  readonly link: number;
}

/** Packet sockets that see what is tried. */
export interface WatchDescriptors {
  readonly tcp: number;
  readonly udp: number;
}

/** Steers every TCP port of every address, the proxy's excepted, to one listener per family. To be called inside the trap. */
export function openCapture(withIpv6: boolean): CaptureDescriptors {
  const opened: number[] = [];
  const own = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  try {
    const map = own(createSocketMap(2));
    const program = own(loadSocketLookup(steeringProgram({ map, from: boxAddresses, except: proxy })));
    const ipv4 = own(listenTcp("0.0.0.0", ANY_PORT, CAPTURE_BACKLOG));
    putSocket(map, IPV4_LISTENER, ipv4);
    const ipv6 = withIpv6 ? own(listenTcp("::", ANY_PORT, CAPTURE_BACKLOG)) : undefined;
    if (ipv6 !== undefined) putSocket(map, IPV6_LISTENER, ipv6);
    const trap = own(openOwnNamespace("net"));
    return { ipv4, ...(ipv6 === undefined ? {} : { ipv6 }), link: attachToNamespace(program, trap) };
  } catch (reason) {
    for (const fd of opened) close(fd);
    throw reason;
  }
}

/** Sockets of the resolver that answers whatever server is asked. */
export interface ResolverDescriptors {
  readonly packets: number;
  readonly ipv4: number;
  readonly ipv6?: number;
}

/** Where questions over UDP arrive and answers leave. To be called inside the trap. */
export function openResolver(interfaceIndex: number, withIpv6: boolean): ResolverDescriptors {
  const ipv4 = openReplySocket("0.0.0.0", DNS_PORT);
  const opened = [ipv4];
  try {
    const ipv6 = withIpv6 ? openReplySocket("::", DNS_PORT) : undefined;
    if (ipv6 !== undefined) opened.push(ipv6);
    const packets = openPacketSocket(interfaceIndex, queryFilter(resolverClients), QUESTION_QUEUE);
    return { packets, ipv4, ...(ipv6 === undefined ? {} : { ipv6 }) };
  } catch (reason) {
    for (const fd of opened) close(fd);
    throw reason;
  }
}

/**
 * Sees what the box tries: the opening packets of TCP connections past the proxy, and UDP. To be called inside the trap.
 * @param resolving questions for names are answered, so that they are no attempt at anything
 */
export function openWatch(interfaceIndex: number, resolving: boolean): WatchDescriptors {
  const tcp = openPacketSocket(interfaceIndex, tcpOpeningFilter(proxy), WATCH_QUEUE);
  try {
    return { tcp, udp: openPacketSocket(interfaceIndex, datagramFilter(resolving ? resolverClients : undefined), WATCH_QUEUE) };
  } catch (reason) {
    close(tcp);
    throw reason;
  }
}
