import { OpenShellError } from "../../error.ts";
import { KernelError } from "../kernel-error.ts";
import { AF_INET6, canonicalAddress, toBinary, toText } from "./address.ts";
import { NLMSG_ERROR } from "./message.ts";
import { ask } from "./socket.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const IPPROTO_TCP = 6;
/** States of enum in include/net/tcp_states.h. */
export const TCP_ESTABLISHED = 1;
export const TCP_CLOSE_WAIT = 8;
const ENOENT = 2;

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** The kernel's answer about one TCP socket (struct inet_diag_msg). */
export interface SocketFacts {
  readonly state: number;
  /** Unique for the life of this boot, never reused. */
  readonly cookie: bigint;
  readonly inode: number;
  readonly uid: number;
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

/**
 * Asks for the socket whose own end is `source` and whose other end is `destination`. The kernel may answer with a listener on that port
 * when there is no such connection: the caller compares state and both ends. Undefined when there is none at all.
 */
export function findTcpSocket(diagnostics: number, source: Endpoint, destination: Endpoint): SocketFacts | undefined {
  const answer = ask(diagnostics, SOCK_DIAG_BY_FAMILY, encodeRequest(source, destination));
  if (answer.type === NLMSG_ERROR) {
    const errno = -answer.payload.readInt32LE(0);
    if (errno === ENOENT) return undefined;
    throw new KernelError("sock_diag", errno);
  }
  if (answer.payload.length < 72) throw new OpenShellError("internal", `sock_diag answered ${answer.payload.length} bytes, 72 expected`);
  return decodeAnswer(answer.payload);
}

/** struct inet_diag_req_v2, 56 bytes. */
function encodeRequest(source: Endpoint, destination: Endpoint): Buffer {
  const from = toBinary(source.address);
  const to = toBinary(destination.address);
  if (from.family !== to.family) throw new OpenShellError("invalid_argument", "the two ends of a connection are of different families");
  const request = Buffer.alloc(56);
  request[0] = from.family;
  request[1] = IPPROTO_TCP;
  request.writeUInt32LE(0xffffffff, 4);
  request.writeUInt16BE(source.port, 8);
  request.writeUInt16BE(destination.port, 10);
  request.set(from.bytes, 12);
  request.set(to.bytes, 28);
  // INET_DIAG_NOCOOKIE: we do not know it, it is what we ask for.
  request.fill(0xff, 48, 56);
  return request;
}

function decodeAnswer(answer: Buffer): SocketFacts {
  const length = answer[0] === AF_INET6 ? 16 : 4;
  // An IPv4 connection of an IPv6 socket shows both ends as ::ffff:a.b.c.d.
  return {
    state: answer[1] ?? 0,
    cookie: answer.readBigUInt64LE(44),
    inode: answer.readUInt32LE(68),
    uid: answer.readUInt32LE(64),
    source: { address: canonicalAddress(toText(answer.subarray(8, 8 + length))), port: answer.readUInt16BE(4) },
    destination: { address: canonicalAddress(toText(answer.subarray(24, 24 + length))), port: answer.readUInt16BE(6) },
  };
}
