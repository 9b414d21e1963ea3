import { OpenShellError } from "../../error.ts";
import { KernelError } from "../kernel-error.ts";
import { AF_INET, AF_INET6, toBinary } from "./address.ts";
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
  /** Its ends are exactly those that were asked for: it is no listener on the same port. */
  readonly exact: boolean;
}

/**
 * Asks for the socket whose own end is `source` and whose other end is `destination`. The kernel may answer with a listener on that port
 * when there is no such connection: the caller looks at the state and at `exact`. Undefined when there is none at all.
 */
export function findTcpSocket(diagnostics: number, source: Endpoint, destination: Endpoint): SocketFacts | undefined {
  const request = encodeRequest(source, destination);
  const answer = ask(diagnostics, SOCK_DIAG_BY_FAMILY, request);
  if (answer.type === NLMSG_ERROR) {
    const errno = -answer.payload.readInt32LE(0);
    if (errno === ENOENT) return undefined;
    throw new KernelError("sock_diag", errno);
  }
  if (answer.payload.length < 72) throw new OpenShellError("internal", `sock_diag answered ${answer.payload.length} bytes, 72 expected`);
  return decodeAnswer(answer.payload, request);
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

/** struct inet_diag_msg. */
function decodeAnswer(answer: Buffer, request: Buffer): SocketFacts {
  return {
    state: answer[1] ?? 0,
    cookie: answer.readBigUInt64LE(44),
    inode: answer.readUInt32LE(68),
    uid: answer.readUInt32LE(64),
    exact: hasEnds(answer, request),
  };
}

/** Whether an answer is about the ends of a request: in both, ports and two addresses of 16 bytes each follow each other. */
function hasEnds(answer: Buffer, request: Buffer): boolean {
  if (answer.compare(request, 8, 12, 4, 8) !== 0) return false;
  if (answer[0] === request[0]) return answer.compare(request, 12, 44, 8, 40) === 0;
  // An IPv4 connection of an IPv6 socket shows both ends as ::ffff:a.b.c.d.
  return request[0] === AF_INET && answer[0] === AF_INET6 && isMapped(answer, 8, request, 12) && isMapped(answer, 24, request, 28);
}

const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

function isMapped(answer: Buffer, at: number, request: Buffer, ipv4: number): boolean {
  return answer.compare(MAPPED, 0, 12, at, at + 12) === 0 && answer.compare(request, ipv4, ipv4 + 4, at + 12, at + 16) === 0;
}
