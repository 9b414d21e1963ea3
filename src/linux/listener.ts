import { close, O_CLOEXEC, O_NONBLOCK } from "./descriptors.ts";
import { check, syscall } from "./libc.ts";
import { AF_INET6, toBinary } from "./netlink/address.ts";

const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** A listening TCP socket in the current network namespace, non-blocking, ready for `Bun.listen({ fd })`. */
export function listenTcp(address: string, port: number, backlog: number): number {
  const { family, bytes } = toBinary(address);
  const one = new Int32Array([1]);
  const fd = check(syscall("socket", family, SOCK_STREAM | O_CLOEXEC | O_NONBLOCK, 0), "socket");
  try {
    check(syscall("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, one, 4), "setsockopt SO_REUSEADDR");
    if (family === AF_INET6) check(syscall("setsockopt", fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4), "setsockopt IPV6_V6ONLY");
    const name = socketName(family, bytes, port);
    check(syscall("bind", fd, name, name.length), "bind", `${address} port ${port}`);
    check(syscall("listen", fd, backlog), "listen", `${address} port ${port}`);
    return fd;
  } catch (reason) {
    close(fd);
    throw reason;
  }
}

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes). */
export function socketName(family: number, bytes: Uint8Array, port: number): Buffer {
  const name = Buffer.alloc(family === AF_INET6 ? 28 : 16);
  name.writeUInt16LE(family, 0);
  name.writeUInt16BE(port, 2);
  name.set(bytes, family === AF_INET6 ? 8 : 4);
  return name;
}
