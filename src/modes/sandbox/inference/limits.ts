/** The largest body of a request; contexts of a million tokens and images in base64 stay below it. */
export const MAX_BODY_BYTES = 10 * 1024 * 1024;
/** Bodies that are held at once, of all requests of a sandbox: each is in memory until the provider has taken it. */
export const MAX_HELD_BYTES = 64 * 1024 * 1024;
/** The largest answer. The longest that a model writes is far below; a larger one is a fault or a flood. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** Milliseconds between two pieces of an answer; models that think say something at least this often. */
export const IDLE_MS = 120_000;

/** What the programs of one sandbox may ask of models. Set by the operator; zero takes a limit away. */
export interface InferenceLimits {
  readonly requestsPerMinute: number;
  /** Input and output together, as the provider counts them; by the size of what passed where it does not. */
  readonly tokensPerHour: number;
  readonly concurrentRequests: number;
}

/**
 * Against floods and forgotten loops, not to save money. An agent with ten helpers makes about 200 requests a minute; with long contexts that
 * are sent again each time, it uses 10 to 50 million tokens an hour.
 */
export const DEFAULT_INFERENCE_LIMITS: InferenceLimits = { requestsPerMinute: 600, tokensPerHour: 200_000_000, concurrentRequests: 64 };
