import { datagramFilter, tcpOpeningFilter } from "../../../linux/bpf/packet-filter.ts";
import { openPacketSocket } from "../../../linux/bpf/packet-socket.ts";
import { attachToNamespace, createSocketMap, loadSocketLookup, putSocket } from "../../../linux/bpf/program.ts";
import { IPV4_LISTENER, IPV6_LISTENER, steeringProgram } from "../../../linux/bpf/steer.ts";
import { close } from "../../../linux/descriptors.ts";
import { listenTcp } from "../../../linux/listener.ts";
import { openOwnNamespace } from "../../../linux/namespaces.ts";
import { boxAddresses, CAPTURE_BACKLOG, PROXY_PORT, trapAddresses, WATCH_QUEUE } from "./net-addresses.ts";

const proxy = { address: trapAddresses.ipv4, port: PROXY_PORT };
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

/** Sees what the box tries: the opening packets of TCP connections past the proxy, and UDP. To be called inside the trap. */
export function openWatch(interfaceIndex: number): WatchDescriptors {
  const tcp = openPacketSocket(interfaceIndex, tcpOpeningFilter(proxy), WATCH_QUEUE);
  try {
    return { tcp, udp: openPacketSocket(interfaceIndex, datagramFilter(), WATCH_QUEUE) };
  } catch (reason) {
    close(tcp);
    throw reason;
  }
}
