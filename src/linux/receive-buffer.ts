import { syscall } from "./libc.ts";

const SOL_SOCKET = 1;
const SO_RCVBUF = 8;

const value = new Int32Array(1);

/**
 * How much the kernel keeps of what a peer sends and nobody has read: the peer hears of no larger window. The kernel doubles the number for its own
 * needs, takes no more than `net.core.rmem_max`, and from then on does not change it by itself. False: no such socket any more.
 */
export function setReceiveBuffer(fd: number, bytes: number): boolean {
  value[0] = bytes;
  return syscall("setsockopt", fd, SOL_SOCKET, SO_RCVBUF, value, 4) === 0;
}
