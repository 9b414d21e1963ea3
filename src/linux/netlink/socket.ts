import { O_CLOEXEC } from "../descriptors.ts";
import { KernelError } from "../kernel-error.ts";
import { check, retryInterrupted, syscall } from "../libc.ts";
import { message, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, parseMessages, type ReceivedMessage } from "./message.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
/** The kernel fills a dump with datagrams of at most 32 KiB (net/netlink/af_netlink.c). */
const DATAGRAM_BYTES = 32_768;

/** A netlink socket of the network namespace the calling thread is in; it keeps belonging to that one. Close-on-exec. */
export function openNetlink(protocol: number): number {
  return check(syscall("socket", AF_NETLINK, SOCK_RAW | O_CLOEXEC, protocol), "socket", "netlink");
}

let sequence = 0;

/** Sends one request and waits for the acknowledgement. Returns 0 or the kernel's negated error number. */
export function request(fd: number, type: number, flags: number, payload: Uint8Array): number {
  const own = send(fd, type, flags | NLM_F_ACK, payload);
  for (;;) {
    for (const answer of receive(fd)) {
      if (answer.sequence === own && answer.type === NLMSG_ERROR) return answer.payload.readInt32LE(0);
    }
  }
}

/** Asks for a whole table and returns its entries. */
export function dump(fd: number, type: number, payload: Uint8Array): ReceivedMessage[] {
  const own = send(fd, type, NLM_F_DUMP, payload);
  const entries: ReceivedMessage[] = [];
  for (;;) {
    for (const answer of receive(fd)) {
      if (answer.sequence !== own) continue;
      if (answer.type === NLMSG_DONE) return entries;
      if (answer.type === NLMSG_ERROR) throw new KernelError("netlink dump", -answer.payload.readInt32LE(0));
      entries.push({ ...answer, payload: Buffer.from(answer.payload) });
    }
  }
}

/** Sends a request that is answered by exactly one message, data or error. */
export function ask(fd: number, type: number, payload: Uint8Array): ReceivedMessage {
  const own = send(fd, type, 0, payload);
  for (;;) {
    for (const answer of receive(fd)) if (answer.sequence === own) return answer;
  }
}

function send(fd: number, type: number, flags: number, payload: Uint8Array): number {
  sequence = (sequence + 1) >>> 0;
  const bytes = message(type, flags | NLM_F_REQUEST, sequence, payload);
  check(
    retryInterrupted(() => syscall("sendto", fd, bytes, bytes.length, 0, null, 0)),
    "netlink send",
  );
  return sequence;
}

// One buffer per thread: answers are copied or read before the next receive.
const datagram = Buffer.alloc(DATAGRAM_BYTES);

function receive(fd: number): ReceivedMessage[] {
  const length = check(
    retryInterrupted(() => syscall("recvfrom", fd, datagram, datagram.length, 0, null, null)),
    "netlink receive",
  );
  return parseMessages(datagram.subarray(0, length));
}
