import { attachFilter } from "./bpf/packet-socket.ts";
import { close, O_CLOEXEC, O_NONBLOCK } from "./descriptors.ts";
import { addressOf, check, syscall } from "./libc.ts";
import { socketName } from "./listener.ts";
import { AF_INET6, toBinary } from "./netlink/address.ts";

const SOCK_DGRAM = 2;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_PKTINFO = 8;
const IP_FREEBIND = 15;
const IPV6_V6ONLY = 26;
const IPV6_PKTINFO = 50;
const IPV6_FREEBIND = 78;
const BPF_RET_K = 0x06;

/** One end of a datagram. */
export interface End {
  readonly address: string;
  readonly port: number;
}

/**
 * A UDP socket on one port of every address of the current network namespace that only sends. It is there so that the port is not
 * reported as closed, and so that answers leave from it; what arrives is dropped by a filter and read elsewhere.
 * @param family `0.0.0.0` or `::`
 */
export function openReplySocket(family: "0.0.0.0" | "::", port: number): number {
  const any = toBinary(family);
  const ipv6 = any.family === AF_INET6;
  const fd = check(syscall("socket", any.family, SOCK_DGRAM | O_CLOEXEC | O_NONBLOCK, 0), "socket", "UDP");
  try {
    attachFilter(fd, [{ code: BPF_RET_K, jt: 0, jf: 0, k: 0 }]);
    const level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP;
    if (ipv6) setOne(fd, level, IPV6_V6ONLY, "IPV6_V6ONLY");
    // Answers come from the address that was asked, whatever it is; none of them is an interface's.
    setOne(fd, level, ipv6 ? IPV6_FREEBIND : IP_FREEBIND, "FREEBIND");
    const name = socketName(any.family, any.bytes, port);
    check(syscall("bind", fd, name, name.length), "bind", `${family} port ${port} (UDP)`);
    return fd;
  } catch (reason) {
    close(fd);
    throw reason;
  }
}

/** Sends one datagram from `from` (an address of the socket's family) to `to`; false when the kernel does not take it now. */
export function sendFrom(fd: number, from: string, to: End, payload: Uint8Array): boolean {
  const source = toBinary(from);
  const target = toBinary(to.address);
  const name = socketName(target.family, target.bytes, to.port);
  const control = packetInformation(source.bytes);
  // struct iovec { base, len }
  const vector = new BigUint64Array([addressOf(payload as Buffer), BigInt(payload.length)]);
  // struct msghdr { name, u32 namelen, iov, iovlen, control, controllen, u32 flags }, the pointers aligned to 8
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(addressOf(name), 0);
  message.writeUInt32LE(name.length, 8);
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const sent = syscall("sendmsg", fd, message, 0);
  // The kernel knows these by their addresses alone: a use after the call keeps them from being collected before.
  return sent === payload.length && name.length + control.length + vector.length > 0;
}

/** A cmsghdr { u64 len, i32 level, i32 type } with struct in_pktinfo { ifindex, spec_dst, addr } or in6_pktinfo { addr, ifindex }. */
function packetInformation(source: Uint8Array): Buffer {
  const ipv6 = source.length === 16;
  const control = Buffer.alloc(ipv6 ? 40 : 32);
  control.writeBigUInt64LE(ipv6 ? 36n : 28n, 0);
  control.writeInt32LE(ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, 8);
  control.writeInt32LE(ipv6 ? IPV6_PKTINFO : IP_PKTINFO, 12);
  control.set(source, ipv6 ? 16 : 20);
  return control;
}

function setOne(fd: number, level: number, option: number, name: string): void {
  check(syscall("setsockopt", fd, level, option, new Int32Array([1]), 4), "setsockopt", name);
}
