/** The addresses of the two namespaces; existing images and tools expect these. The same in every box, since no box can see another. */
export const boxAddresses = { ipv4: "10.200.0.2", ipv6: "fd00::2" } as const;
export const trapAddresses = { ipv4: "10.200.0.1", ipv6: "fd00::1" } as const;
/** Of the network between the two. */
export const BROADCAST = "10.200.0.255";
export const IPV4_PREFIX_LENGTH = 24;
export const IPV6_PREFIX_LENGTH = 64;
export const PROXY_PORT = 3128;
/** Connections that wait for the supervisor; at most 256 are undecided, so twice that survives a burst. */
export const PROXY_BACKLOG = 512;
/** Directly connected ones wait in a queue of the same length. */
export const CAPTURE_BACKLOG = PROXY_BACKLOG;
export const DNS_PORT = 53;
/** Questions that wait for the supervisor: half a second's worth of what is answered at most. */
export const QUESTION_QUEUE = 256;
/**
 * Packets of one kind that may wait to be seen; looked at every quarter of a second, two kinds: at most about 100 a second become events,
 * which is what a person can make use of, and the kernel counts the rest.
 */
export const WATCH_QUEUE = 12;
