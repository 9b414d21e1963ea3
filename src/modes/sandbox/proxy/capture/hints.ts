/** What helps a program that does not use the proxy; part of the event, so that whoever reads it knows what to change. */
export const DIRECT_CONNECTION_HINT = "ensure the process honors HTTP_PROXY/HTTPS_PROXY; for Node.js set NODE_USE_ENV_PROXY=1";
const DNS_HINT = "DNS queries should route through the sandbox proxy; check resolver configuration";
const DATAGRAM_HINT = "UDP traffic must route through the sandbox proxy";
const DNS_PORT = 53;

/** The hint for an attempt that no program is known of. */
export function hintFor(protocol: "tcp" | "udp", port: number): string {
  if (protocol === "tcp") return DIRECT_CONNECTION_HINT;
  return port === DNS_PORT ? DNS_HINT : DATAGRAM_HINT;
}
