import type { Authority } from "./authority.ts";
import { nominatedFields } from "./connection-options.ts";
import type { ForwardHead } from "./head.ts";
import { HOP_BY_HOP } from "./hop-by-hop.ts";

/** `Host` as sent upstream: the authority, brackets round IPv6, the port left out where the scheme implies it. */
export function hostField(authority: Authority, scheme: "http" | "https" = "http"): string {
  const host = authority.host.includes(":") ? `[${authority.host}]` : authority.host;
  return authority.port === (scheme === "https" ? 443 : 80) ? host : `${host}:${authority.port}`;
}

/**
 * The head as the upstream gets it: origin-form, `Host` from the authority, hop-by-hop fields dropped, `Connection: close`, `Via` when
 * the client sent none.
 */
export function originFormHead(head: ForwardHead): Buffer {
  const dropped = nominatedFields(head.fields);
  let text = `${head.method} ${head.target} HTTP/${head.version}\r\nHost: ${hostField(head.authority)}\r\n`;
  let via = false;
  for (const field of head.fields) {
    if (field.lower === "host" || HOP_BY_HOP.has(field.lower) || dropped.has(field.lower)) continue;
    via ||= field.lower === "via";
    text += `${field.name}: ${field.value}\r\n`;
  }
  if (!via) text += "Via: 1.1 openshell-sandbox\r\n";
  return Buffer.from(`${text}Connection: close\r\n\r\n`, "latin1");
}
