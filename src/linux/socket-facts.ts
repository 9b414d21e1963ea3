import { check, syscall } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_PROTOCOL = 38;
const SO_COOKIE = 57;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;

const value = Buffer.alloc(8);
const length = new Int32Array(1);

function option(fd: number, level: number, name: number, size: number): number {
  value.fill(0);
  length[0] = size;
  return syscall("getsockopt", fd, level, name, value, length);
}

/** What the kernel knows of a TCP socket. */
export interface TcpFacts {
  /** The kernel's number of the socket: unique until the next boot. */
  readonly cookie: bigint;
  /** First byte of struct tcp_info: enum in include/net/tcp_states.h. */
  readonly state: number;
}

/** Undefined for anything else than a TCP socket of IPv4 or IPv6, socket or not. */
export function tcpFacts(fd: number): TcpFacts | undefined {
  // Only TCP has this option, and MPTCP, which is another protocol by number.
  if (option(fd, IPPROTO_TCP, TCP_INFO, 1) < 0) return undefined;
  const state = value.readUInt8(0);
  if (option(fd, SOL_SOCKET, SO_PROTOCOL, 4) < 0 || value.readInt32LE(0) !== IPPROTO_TCP) return undefined;
  check(option(fd, SOL_SOCKET, SO_COOKIE, 8), "getsockopt", "SO_COOKIE");
  return { cookie: value.readBigUInt64LE(0), state };
}

export const TCP_CLOSE = 7;
