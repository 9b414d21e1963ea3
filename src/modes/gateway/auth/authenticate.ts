import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { TLSSocket } from "node:tls";
import { createContextKey } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { OPERATOR_UNIT } from "./pki.ts";
import { nobody, type Principal } from "./principal.ts";
import type { SandboxClaims } from "./tokens.ts";

/** What the transport knows of the peer before any header is believed. */
export interface Peer {
  /** The gateway speaks plaintext on loopback: without a bearer the caller is the local user. */
  readonly plaintext: boolean;
  /** Subject of a client certificate that the TLS layer verified against our authority. */
  readonly certificate?: { readonly commonName: string; readonly units: readonly string[] };
}

export const peerKey = createContextKey<Peer>({ plaintext: false }, { description: "transport peer" });

export type NodeRequest = IncomingMessage | Http2ServerRequest;

/** Peers of HTTP/2 connections: a handshake has one outcome, and reading a certificate takes as long as many a call. */
const peers = new WeakMap<object, Peer>();

/** Reads the peer of a request; a certificate counts only when TLS verified it. */
export function peerOf(request: NodeRequest, plaintext: boolean): Peer {
  if (plaintext) return { plaintext: isLocalProgram(request.headers) };
  const session = "stream" in request ? request.stream?.session : undefined;
  if (session === undefined) return verifiedPeer(request.socket as TLSSocket);
  const known = peers.get(session);
  if (known !== undefined) return known;
  const peer = verifiedPeer((session.socket ?? request.socket) as TLSSocket);
  peers.set(session, peer);
  return peer;
}

function verifiedPeer(tls: TLSSocket): Peer {
  if (tls.authorized !== true) return { plaintext: false };
  const subject = tls.getPeerCertificate()?.subject as { CN?: string | string[]; OU?: string | string[] } | undefined;
  const [commonName, ...more] = list(subject?.CN);
  if (commonName === undefined || more.length > 0) return { plaintext: false };
  return { plaintext: false, certificate: { commonName, units: list(subject?.OU) } };
}

const LOOPBACK_NAME = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Whether a plaintext request is from a program of this machine rather than from a page in its browser. A page's own name can be made to
 * lead to 127.0.0.1, so the name that was asked for has to be a loopback one; and a browser always says that it is one.
 */
function isLocalProgram(headers: IncomingMessage["headers"]): boolean {
  const names = [headers.host, headers[":authority"]].filter((name) => name !== undefined);
  const browser = headers.origin !== undefined || headers["sec-fetch-site"] !== undefined;
  return !browser && names.length > 0 && names.every((name) => typeof name === "string" && LOOPBACK_NAME.test(name));
}

/** Whether a peer without any token is a user. */
export function isUser(peer: Peer): boolean {
  return peer.certificate !== undefined || peer.plaintext;
}

export interface Authenticator {
  readonly verify: (token: string) => Promise<SandboxClaims>;
  /** Undefined once the sandbox is gone, which ends its tokens. */
  readonly findSandbox: (id: string) => { readonly name: string; readonly workspace: string } | undefined;
}

/**
 * Picks one principal. A present `authorization` header decides alone: when it is not a valid token the call is refused, whatever
 * certificate came with it, so that a stolen or forged token never falls through to another way in.
 */
export async function authenticate(authenticator: Authenticator, peer: Peer, authorization: string | null): Promise<Principal> {
  if (authorization !== null) {
    const token = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i.exec(authorization)?.[1];
    if (token === undefined) throw new OpenShellError("unauthenticated", "the authorization header is not a bearer token");
    const claims = await authenticator.verify(token);
    const sandbox = authenticator.findSandbox(claims.sandboxId);
    if (sandbox === undefined) throw new OpenShellError("unauthenticated", "the bearer token belongs to a sandbox that no longer exists");
    return { kind: "sandbox", token: claims.kind, sandboxId: claims.sandboxId, name: sandbox.name, workspace: sandbox.workspace };
  }
  if (peer.certificate !== undefined) {
    const { commonName, units } = peer.certificate;
    return { kind: "user", subject: commonName, provider: "mtls", operator: units.includes(OPERATOR_UNIT) };
  }
  if (peer.plaintext) return { kind: "user", subject: "local", provider: "local", operator: true };
  return nobody;
}

function list(value: string | readonly string[] | undefined): string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : [...value];
}
