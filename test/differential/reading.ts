/** How one implementation read the bytes of a connection, and where two of them disagree. */
import { canonicalAddress } from "../../src/address/address-class.ts";
import { readAuthority } from "../../src/modes/sandbox/proxy/http1/authority.ts";
import { canonicalPath } from "../../src/modes/sandbox/proxy/http1/path.ts";

export interface ReadRequest {
  readonly method: string;
  /** Origin-form. */
  readonly target: string;
  /** Of the target or the Host field; several Host fields are joined by a bar. */
  readonly host: string;
  /** Without its framing; Latin-1. */
  readonly body: string;
  /** The end of the body has been found. */
  readonly complete: boolean;
}

export interface Reading {
  readonly requests: readonly ReadRequest[];
  /** What came behind `requests` was refused with an error. */
  readonly refused: boolean;
}

/**
 * Where `theirs` differs from what `ours` accepted; undefined: nowhere. Refusing what we accept, or accepting more behind what we refuse, is
 * no difference: nothing then has two meanings.
 */
export function difference(ours: Reading, theirs: Reading): string | undefined {
  for (const [index, request] of ours.requests.entries()) {
    const other = theirs.requests[index];
    if (other === undefined) return undefined;
    const number = `request ${index + 1}`;
    // Refused on the way: nobody answers it.
    if (!request.complete && ours.refused && index === ours.requests.length - 1) return undefined;
    if (!sameMethod(request.method, other.method)) return `${number}: method ${show(request.method)}, not ${show(other.method)}`;
    if (!sameTarget(request.target, other.target)) return `${number}: target ${show(request.target)}, not ${show(other.target)}`;
    // HTTP/1.0 without a Host field says nothing about it.
    if (other.host !== "" && authorityOf(request.host) !== authorityOf(other.host))
      return `${number}: host ${show(request.host)}, not ${show(other.host)}`;
    const last = theirs.refused && index === theirs.requests.length - 1;
    if (!other.complete && last) return undefined;
    if (request.complete !== other.complete) return `${number}: ${ending(request)}, not ${ending(other)}`;
    if (request.complete && request.body !== other.body) return `${number}: body ${show(request.body)}, not ${show(other.body)}`;
  }
  return undefined;
}

/** Target and host as they are meant by the target of a request line that may be in absolute form (RFC 9112 section 3.2.4). */
export function originOf(method: string, target: string, host: string): { readonly target: string; readonly host: string } {
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target);
  if (absolute === null) return { target, host };
  const [, authority = "", rest = ""] = absolute;
  if (rest === "") return { target: method === "OPTIONS" ? "*" : "/", host: authority };
  return { target: rest.startsWith("/") ? rest : `/${rest}`, host: authority };
}

/** The same for what a server reads of what we send it: no request more than we meant, either. */
export function serverDifference(ours: Reading, theirs: Reading): string | undefined {
  const method = ours.requests.find((request, index) => request.method !== (theirs.requests[index]?.method ?? request.method))?.method;
  const found = difference(ours, theirs) ?? (method === undefined ? undefined : `${method} in another case`);
  if (found !== undefined || theirs.requests.length <= ours.requests.length) return found;
  return `${theirs.requests.length} requests instead of ${ours.requests.length}: ${show(JSON.stringify(theirs.requests.at(-1)))}`;
}

function ending({ complete, body }: ReadRequest): string {
  return complete ? `complete with ${show(body)}` : `waiting for more behind ${show(body)}`;
}

/** Rules do not look at the case of a method, and it is sent on in capitals. */
function sameMethod(ours: string, theirs: string): boolean {
  return ours === theirs.toUpperCase();
}

/** Proxies write a path anew in their own way; escapes and dot segments are compared by their meaning, everything else by its bytes. */
function sameTarget(ours: string, theirs: string): boolean {
  return ours === theirs || meaning(ours) === meaning(theirs);
}

function meaning(target: string): string {
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  try {
    return `${canonicalPath(path)}${mark < 0 ? "" : target.slice(mark)}`;
  } catch {
    return target;
  }
}

function authorityOf(text: string): string {
  const authority = readAuthority(Buffer.from(text, "latin1").toString("utf8"), 80);
  return "problem" in authority ? text : `${canonicalAddress(authority.host) ?? authority.host}:${authority.port}`;
}

function show(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length > 200 ? `${shown.slice(0, 200)}… (${text.length} bytes)` : shown;
}
