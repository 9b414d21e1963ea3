import { check, syscall } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_PROTOCOL = 38;
const SO_DOMAIN = 39;
const SO_COOKIE = 57;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
const SOCK_STREAM = 1;
const AF_INET = 2;
const AF_INET6 = 10;

const value = Buffer.alloc(8);
const length = new Int32Array(1);

function option(fd: number, level: number, name: number, size: number): number {
  value.fill(0);
  length[0] = size;
  return syscall("getsockopt", fd, level, name, value, length);
}

/** True for a TCP socket of IPv4 or IPv6; false for anything else, sockets or not. */
export function isTcpSocket(fd: number): boolean {
  if (option(fd, SOL_SOCKET, SO_DOMAIN, 4) < 0) return false;
  const family = value.readInt32LE(0);
  if (family !== AF_INET && family !== AF_INET6) return false;
  if (option(fd, SOL_SOCKET, SO_TYPE, 4) < 0 || value.readInt32LE(0) !== SOCK_STREAM) return false;
  return option(fd, SOL_SOCKET, SO_PROTOCOL, 4) >= 0 && value.readInt32LE(0) === IPPROTO_TCP;
}

/** The kernel's number of a socket: unique until the next boot. */
export function socketCookie(fd: number): bigint {
  check(option(fd, SOL_SOCKET, SO_COOKIE, 8), "getsockopt", "SO_COOKIE");
  return value.readBigUInt64LE(0);
}

/** First byte of struct tcp_info: enum in include/net/tcp_states.h. */
export function tcpState(fd: number): number {
  check(option(fd, IPPROTO_TCP, TCP_INFO, 1), "getsockopt", "TCP_INFO");
  return value.readUInt8(0);
}
export const TCP_CLOSE = 7;
