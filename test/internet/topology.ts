/**
 * Addresses of the two sides. The link's own networks are documentation and local ones (RFC 5737, RFC 4193), outside everything that the
 * servers play; `fd00::/8` also because a local route for `2000::/3` would swallow the link.
 */
export const HOST = { ipv4: "192.0.2.2", ipv6: "fd77::2" } as const;
export const INTERNET = { ipv4: "192.0.2.1", ipv6: "fd77::1" } as const;
export const PREFIX = { ipv4: 24, ipv6: 64 } as const;

/** The resolver in the host's /etc/resolv.conf. */
export const DNS_ADDRESS = "198.51.100.53";

export const HTTP_PORTS = [80, 8080, 8000, 2379] as const;
export const HTTPS_PORTS = [443, 8443, 6443] as const;
/** 7 is the echo service (RFC 862), 22 and 5432 stand for protocols that are not HTTP. */
export const ECHO_PORTS = [7, 22, 5432] as const;

/** Zeros without end, for measurements; the character generator of RFC 864. */
export const SOURCE_PORT = 19;
/** HTTP/2 over TLS, and gRPC in plaintext. */
export const HTTP2_PORT = 9443;
export const GRPC_PORT = 50_051;
/** Git's own protocol. */
export const GIT_PORT = 9418;
/** The version exchange of SSH. */
export const SSH_PORT = 2222;

/** Proxies of a company: open, asking for credentials, and asking for them inside TLS. */
export const PROXY_PORTS = { open: 3129, guarded: 3130, secure: 3131 } as const;
export const PROXY_NAME = "proxy.example.com";
export const PROXY_USER = "company";
export const PROXY_PASSWORD = "a-proxy-password";
/** Names that only the proxies can resolve, as in networks where nobody else reaches a name server of the outside. */
export const PROXY_ZONE = { "outside.example.org": ["93.184.216.50"], "inside.example.org": ["10.1.2.9"] } as const;

/** Names that every test knows; `open({ zones })` adds to them. */
export const DEFAULT_ZONE = {
  "proxy.example.com": ["93.184.216.60"],
  "api.example.com": ["93.184.216.34", "2606:2800::1"],
  "other.example.com": ["93.184.216.35"],
  "bucket.example.com": ["93.184.216.39"],
  "calls.example.com": ["93.184.216.37"],
  "cdn.example.net": ["151.101.1.10"],
  "internal.example.com": ["10.1.2.3"],
  "metadata.example.com": ["169.254.169.254"],
  "db.example.com": ["93.184.216.50"],
  "git.example.com": ["140.82.121.4"],
  "private-git.example.com": ["140.82.121.6"],
  "mirror.example.com": ["93.184.216.38"],
  "npm.example.com": ["104.16.0.35"],
  "pypi.example.com": ["151.101.0.223"],
  "grpc.example.com": ["142.250.74.10", "2606:2800::50"],
  "h2.example.com": ["142.250.74.11"],
  "ssh.example.com": ["140.82.121.5"],
  "mixed.example.com": ["93.184.216.36", "10.1.2.4"],
} as const;
