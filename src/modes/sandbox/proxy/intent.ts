import type { Authority } from "./http1/authority.ts";
import type { ForwardHead, RequestHead } from "./http1/head.ts";

/** What a client asks for, however it arrived. */
export interface Intent {
  readonly authority: Authority;
  readonly stage: "connect" | "forward";
  /** `CONNECT`, or the method of the forwarded request. */
  readonly method: string;
  /** Without its query, which may hold secrets; absent for CONNECT. */
  readonly path?: string;
  /** What is sent upstream; absent for CONNECT. */
  readonly request?: ForwardHead;
}

/** The intent of one accepted request head. */
export function intentOf(head: RequestHead): Intent {
  if (head.kind === "connect") return { authority: head.authority, stage: "connect", method: "CONNECT" };
  const query = head.target.indexOf("?");
  const path = query < 0 ? head.target : head.target.slice(0, query);
  return { authority: head.authority, stage: "forward", method: head.method, path, request: head };
}

/** `host:port` for people, IPv6 in brackets. */
export function hostPort({ host, port }: Authority): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
