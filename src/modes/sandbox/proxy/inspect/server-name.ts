import { type Authority, readHost } from "../http1/authority.ts";

/** CONNECT, SNI and Host must name one server (the last is checked with each request). Undefined: these two do. */
export function misdirection(serverName: string | undefined, authority: Authority): string | undefined {
  if (serverName === undefined) return undefined;
  const named = readHost(serverName);
  return named === authority.host ? undefined : `TLS names another server than ${authority.host}`;
}

/** An address is never named in TLS; a name always is. */
export function unnamed(serverName: string | undefined, { host }: Authority): string | undefined {
  return serverName === undefined && !/^[\d.]+$|:/.test(host) ? `TLS names no server, and only ${host} is allowed` : undefined;
}
