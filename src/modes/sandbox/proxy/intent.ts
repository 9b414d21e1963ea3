import type { SocketAddress } from "../box/contract.ts";
import type { SyntheticNames } from "./dns/synthetic-names.ts";
import type { Authority } from "./http1/authority.ts";
import type { ForwardHead, RequestHead } from "./http1/head.ts";

/** What a client asks for, however it arrived. */
export interface Intent {
  readonly authority: Authority;
  /** `bypass`: connected directly, to an address that no name stands for. */
  readonly stage: "connect" | "forward" | "bypass";
  /** `CONNECT`, or the method of the forwarded request; `TCP` for a connection past the proxy. */
  readonly method: string;
  /** Without its query, which may hold secrets; only of a forwarded request. */
  readonly path?: string;
  /** What is sent upstream; only of a forwarded request. */
  readonly request?: ForwardHead;
}

/** The intent of one accepted request head. Who asked for a name before and asks for a tunnel to its address means the name. */
export function intentOf(head: RequestHead, names?: SyntheticNames): Intent {
  if (head.kind === "connect") {
    const { host, port } = head.authority;
    return { authority: { host: names?.nameOf(host) ?? host, port }, stage: "connect", method: "CONNECT" };
  }
  const query = head.target.indexOf("?");
  const path = query < 0 ? head.target : head.target.slice(0, query);
  return { authority: head.authority, stage: "forward", method: head.method, path, request: head };
}

/**
 * The intent of a connection made past the proxy. An address that stands for a name means that name, and the connection is as good as one
 * to the proxy; any other address stands for itself.
 */
export function capturedIntent({ address, port }: SocketAddress, names?: SyntheticNames): Intent {
  const name = names?.nameOf(address);
  if (name === undefined) return { authority: { host: address, port }, stage: "bypass", method: "TCP" };
  return { authority: { host: name, port }, stage: "connect", method: "TCP" };
}

/** `host:port` for people, IPv6 in brackets. */
export function hostPort({ host, port }: Authority): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
