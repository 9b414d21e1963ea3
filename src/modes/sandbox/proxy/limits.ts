/** What one sandbox may ask of the proxy at once; an agent that wants more waits, the supervisor does not. */
export interface EgressLimits {
  /** Connections, tunnels included. 2,048 tunnels are 4,096 descriptors, and the agent itself has 4,096. */
  readonly connections: number;
  /** Connections whose request is not decided yet; what can be asked of the engine, the resolver and the hash worker at once. */
  readonly undecided: number;
  /** Accepted but not looked at, because one of the above is reached; as many as the kernel's own accept queue. */
  readonly waiting: number;
  /** Time for a complete request head. Clients send it at once; 10 s is for a paused terminal. */
  readonly headMs: number;
  /** Time for the whole body of a request that cannot be decided without it: 4 MiB in a minute is 70 KB/s. */
  readonly bodyMs: number;
  /** Time for one connection attempt to one address. */
  readonly dialMs: number;
  /** Time for a client to read a refusal and close. */
  readonly lingerMs: number;
  /** How often the times above are looked at. */
  readonly sweepMs: number;
  /** Bytes that a client may send before its tunnel stands: one TLS ClientHello with room. */
  readonly earlyBytes: number;
}

/** Idle time after which the kernel asks whether an upstream still exists, so that dead tunnels free their place. Milliseconds. */
export const UPSTREAM_KEEP_ALIVE_MS = 60_000;
/**
 * The same for a client that has sent FIN: the kernel of one that has closed answers with a reset once its own wait is over (60 s,
 * `net.ipv4.tcp_fin_timeout`). Milliseconds.
 */
export const CLIENT_KEEP_ALIVE_MS = 60_000;

export const DEFAULT_LIMITS: EgressLimits = {
  connections: 2048,
  undecided: 256,
  waiting: 512,
  headMs: 10_000,
  bodyMs: 60_000,
  dialMs: 10_000,
  lingerMs: 2000,
  sweepMs: 1000,
  earlyBytes: 65_536,
};
