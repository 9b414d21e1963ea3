/** Pending chunks of one sandbox. More than a person reviews in one sitting hides what matters (advisor.md, "Gateway"). */
export const MAX_PENDING_CHUNKS = 10;

/** Milliseconds in which one submission is regained; the advisor's own pace. */
export const SUBMISSION_INTERVAL_MS = 5_000;

/** Submissions that may follow each other at once: a first denial, its neighbours, and a retry. */
export const SUBMISSION_BURST = 3;

/** Chunks in one submission: ten times what can be pending; the rest could never be stored. */
export const MAX_CHUNKS_PER_SUBMISSION = 100;

/** Denials in one submission, and kept per sandbox: the aggregator's own capacity. */
export const MAX_DENIALS = 1_000;

/** Endpoints of one chunk; the size of a coarse group (advisor.md, "Stage 1"). */
export const MAX_ENDPOINTS_PER_CHUNK = 10;

/** Ports of one endpoint; a proposal names the ports that were tried, a service rarely has more. */
export const MAX_PORTS_PER_ENDPOINT = 8;

/** Binaries of one chunk; a proposal is about the program that was denied, groups may name few. */
export const MAX_BINARIES_PER_CHUNK = 8;

/** Request rules of one endpoint; more than this is a preset in disguise and cannot be reviewed. */
export const MAX_RULES_PER_ENDPOINT = 64;

/** A host name on the wire (RFC 1035 §3.1, without the trailing dot). */
export const MAX_HOST_LENGTH = 253;

/** PATH_MAX of Linux, without the terminator. */
export const MAX_BINARY_LENGTH = 4_095;

/** Rule names: a policy accepts 253 bytes as a key (src/policy/limits.ts); the rest is for the number of a key that is taken. */
export const MAX_RULE_NAME_LENGTH = 248;

/** Text that a sandbox supplies for people to read; longer text is cut, for nobody reads it. */
export const MAX_TEXT_LENGTH = 2_000;

/** One command line or path of an asker, after escaping. */
export const MAX_SAMPLE_LENGTH = 512;

/** Command lines and ancestors kept per denial (advisor.md, "DenialAggregator"). */
export const MAX_SAMPLES = 5;

/** Requests kept per denial (advisor.md, "DenialAggregator"). */
export const MAX_REQUESTS_PER_DENIAL = 50;

/** Denials, beside those of open proposals, whose requests are kept: 50 requests are up to 30 KiB, and all are read to show a list. */
export const MAX_DENIALS_WITH_REQUESTS = 50;

/** One method, or what names an operation: the fields of a GraphQL operation are several words. */
export const MAX_METHOD_LENGTH = 256;

/** Hits that one submission may add to a chunk; a sandbox must not outrun the thresholds at once. */
export const MAX_HITS_PER_SUBMISSION = 100;

/** Rejections after which proposals for a host and port are refused for a while. */
export const REJECTIONS_BEFORE_BACKOFF = 2;

/** Milliseconds of refusal after the second, third and every later rejection. */
export const BACKOFF_STEPS_MS = [3_600_000, 14_400_000, 86_400_000] as const;

/** Milliseconds without a new hit after which a pending chunk expires, when the setting `draft_ttl` is unset. */
export const DEFAULT_DRAFT_TTL_MS = 3_600_000;

/** Milliseconds within which denials count as one burst: the aggregator's cool-down. */
export const BURST_MS = 60_000;

/** Ports above this are picked by the system for outgoing connections and name no service (RFC 6335 §6). */
export const EPHEMERAL_PORT_FLOOR = 49_152;

/** Milliseconds that a look-up at approval may take; a person is waiting. */
export const RESOLVE_TIMEOUT_MS = 5_000;

/** Bytes of effective policies in one answer; with chunks and framing it stays under the 3 MiB of an answer. */
export const MAX_POLICY_BYTES_PER_ANSWER = 2 * 1_048_576;

/** Chunks in one page when the client names no number, and at most. */
export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1_000;

/** History entries in one answer, the newest; an entry is under 1 KiB, so they fit. */
export const MAX_HISTORY_ENTRIES = 1_000;

/** Shortest chunk id prefix: eight places of a random UUID tell chunks apart, fewer invite mistakes. */
export const MIN_ID_PREFIX = 4;
