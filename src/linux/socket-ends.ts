import { syscall } from "./libc.ts";
import { AF_INET, AF_INET6, canonicalAddress, toText } from "./netlink/address.ts";

/** struct sockaddr_in6, the longer of the two. */
const SOCKADDR_BYTES = 28;
const name = Buffer.alloc(SOCKADDR_BYTES);
const length = new Int32Array(1);

/** One end of a TCP connection; IPv4 without its IPv6 mapping. */
export interface SocketEnd {
  readonly address: string;
  readonly port: number;
}

/** The other end of a connected socket; undefined when it is not connected (any more). */
export function peerOf(fd: number): SocketEnd | undefined {
  length[0] = SOCKADDR_BYTES;
  return syscall("getpeername", fd, name, length) < 0 ? undefined : endIn(name);
}

/** The own end of a socket; undefined when it has none. */
export function ownEndOf(fd: number): SocketEnd | undefined {
  length[0] = SOCKADDR_BYTES;
  return syscall("getsockname", fd, name, length) < 0 ? undefined : endIn(name);
}

/** True while the socket has another end. */
export function isConnected(fd: number): boolean {
  length[0] = SOCKADDR_BYTES;
  return syscall("getpeername", fd, name, length) >= 0;
}

function endIn(sockaddr: Buffer): SocketEnd | undefined {
  const port = sockaddr.readUInt16BE(2);
  switch (sockaddr.readUInt16LE(0)) {
    case AF_INET:
      return { address: `${sockaddr[4]}.${sockaddr[5]}.${sockaddr[6]}.${sockaddr[7]}`, port };
    case AF_INET6:
      return { address: canonicalAddress(toText(sockaddr.subarray(8, 24))), port };
    default:
      return undefined;
  }
}
