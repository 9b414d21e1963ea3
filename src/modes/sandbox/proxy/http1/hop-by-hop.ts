/** Fields of a request that end at a proxy (RFC 9110 section 7.6.1), and those addressed to it; in lower case. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "te",
  "upgrade",
  // An offer of HTTP/2 over plain TCP, which is for this connection.
  "http2-settings",
]);
