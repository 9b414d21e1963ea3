import { close, O_CLOEXEC, O_NONBLOCK } from "../descriptors.ts";
import { addressOf, check, EAGAIN, EINTR, syscall } from "../libc.ts";
import { encodeProgram, type Instruction } from "../seccomp/assembler.ts";

const AF_PACKET = 17;
/** Packets begin with the IP header. */
const SOCK_DGRAM = 2;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SOL_PACKET = 263;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const PACKET_STATISTICS = 6;
const PACKET_IGNORE_OUTGOING = 23;
/** What the kernel charges a queue for one small packet (struct sk_buff with its data, `truesize`): 768 to 2,304 bytes. */
const PACKET_CHARGE_BYTES = 2304;

/**
 * A socket that gets a copy of the packets that arrive on an interface of the current network namespace and pass the filter.
 * @param queue how many packets wait at most; those that come when it is full are counted and never copied, so that a flood costs the
 *   data path one run of the filter each. (Small packets are charged less, so a few more may fit.)
 */
export function openPacketSocket(interfaceIndex: number, filter: readonly Instruction[], queue: number): number {
  // Protocol 0: nothing arrives before the filter is there.
  const fd = check(syscall("socket", AF_PACKET, SOCK_DGRAM | O_CLOEXEC | O_NONBLOCK, 0), "socket", "AF_PACKET");
  try {
    attachFilter(fd, filter);
    setNumber(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    // The kernel doubles the number it is given.
    setNumber(fd, SOL_SOCKET, SO_RCVBUF, (queue * PACKET_CHARGE_BYTES) / 2, "SO_RCVBUF");
    const name = Buffer.alloc(20); // struct sockaddr_ll
    name.writeUInt16LE(AF_PACKET, 0);
    name.writeUInt16BE(ETH_P_ALL, 2);
    name.writeInt32LE(interfaceIndex, 4);
    check(syscall("bind", fd, name, name.length), "bind", "packet socket");
    return fd;
  } catch (reason) {
    close(fd);
    throw reason;
  }
}

/** Classic BPF on any socket: what it refuses is dropped before it is queued. */
export function attachFilter(fd: number, filter: readonly Instruction[]): void {
  const code = encodeProgram(filter);
  const header = Buffer.alloc(16); // struct sock_fprog, the pointer aligned to 8
  header.writeUInt16LE(filter.length, 0);
  header.writeBigUInt64LE(addressOf(code), 8);
  check(syscall("setsockopt", fd, SOL_SOCKET, SO_ATTACH_FILTER, header, header.length), "setsockopt", "SO_ATTACH_FILTER");
  // The kernel knows the code by its address alone: a use after the call keeps it from being collected before.
  code.fill(0);
}

/** Takes the next packet of a non-blocking socket into the buffer; its size, or undefined when none waits. */
export function receivePacket(fd: number, buffer: Buffer): number | undefined {
  for (;;) {
    const size = syscall("recvfrom", fd, buffer, buffer.length, 0, null, null);
    if (size === -EAGAIN) return undefined;
    if (size !== -EINTR) return check(size, "recvfrom", "packet socket");
  }
}

/** Packets that found the queue full since the last question. */
export function droppedPackets(fd: number): number {
  const statistics = new Uint32Array(2); // struct tpacket_stats { packets, drops }
  const length = new Int32Array([8]);
  check(syscall("getsockopt", fd, SOL_PACKET, PACKET_STATISTICS, statistics, length), "getsockopt", "PACKET_STATISTICS");
  return statistics[1] ?? 0;
}

function setNumber(fd: number, level: number, option: number, value: number, name: string): void {
  check(syscall("setsockopt", fd, level, option, new Int32Array([value]), 4), "setsockopt", name);
}
