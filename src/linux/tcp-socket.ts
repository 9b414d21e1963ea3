import { OpenShellError } from "../error.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./descriptors.ts";
import { KernelError } from "./kernel-error.ts";
import { check, syscall } from "./libc.ts";
import { AF_INET6, toBinary } from "./netlink/address.ts";

const SOCK_STREAM = 1;
const EINPROGRESS = 115;
const EALREADY = 114;
const EISCONN = 106;

/** Between two looks at a connection that is being made: on a loopback only a full backlog makes it take longer. Milliseconds. */
const CONNECT_PAUSE = 10;

/** A TCP socket of the calling thread's network namespace, non-blocking and unconnected. */
export function tcpSocket(family: number): number {
  return check(syscall("socket", family, SOCK_STREAM | O_CLOEXEC | O_NONBLOCK, 0), "socket");
}

/** Connects a non-blocking socket. Rejects with a KernelError when it is refused, and with `deadline_exceeded` after `time` milliseconds. */
export async function connectTcp(socket: number, address: string, port: number, time: number): Promise<void> {
  const { family, bytes } = toBinary(address);
  // struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes).
  const name = Buffer.alloc(family === AF_INET6 ? 28 : 16);
  name.writeUInt16LE(family, 0);
  name.writeUInt16BE(port, 2);
  name.set(bytes, family === AF_INET6 ? 8 : 4);
  const until = performance.now() + time;
  for (;;) {
    const result = syscall("connect", socket, name, name.length);
    if (result === 0 || result === -EISCONN) return;
    if (result !== -EINPROGRESS && result !== -EALREADY) throw new KernelError("connect", -result, `${address} port ${port}`);
    if (performance.now() > until)
      throw new OpenShellError("deadline_exceeded", `${address} port ${port} did not answer within ${time / 1000} s`);
    await Bun.sleep(result === -EINPROGRESS ? 0 : CONNECT_PAUSE);
  }
}
