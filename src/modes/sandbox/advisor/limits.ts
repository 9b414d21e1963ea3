/** Numbers of the aggregator; times in milliseconds. */

/** Keys held at once: an agent that probes more is flooding, and the rest is counted. */
export const MAX_KEYS = 1000;
/** Keys of one program, so that a flood of one cannot hide the request of another. */
export const MAX_KEYS_PER_BINARY = 250;
/** Events waiting to be looked at; the data path never waits. */
export const MAX_QUEUED_EVENTS = 1024;
/** After a key was reported, its events are only counted for this long. */
export const COOL_DOWN_MS = 60_000;
/** Reports in one cool-down for requests that no report has named: an agent that tries one path after the other is heard, one that floods is not. */
export const MAX_EARLY_REPORTS = 3;
/** After the cool-down a key is reported again with this many new events. */
export const THRESHOLD = 3;
/** A key with fewer is reported as persistent when its oldest unreported event is this old. */
export const SLOW_DRIP_MS = 300_000;
/** Distinct sanitised command lines of one key. */
export const MAX_COMMAND_LINES = 5;
/** Distinct (method, path, decision) samples of one key. */
export const MAX_SAMPLES = 50;
/** Summaries and chunks of one submission; the gateway accepts no more chunks. */
export const MAX_BATCH = 100;
/** Proposals for requests in one submission: each is checked by an engine of its own, and the gateway keeps ten proposals. */
export const MAX_CHECKED = 10;
/** Text of one submission; the gateway accepts messages of 1 MiB. */
export const MAX_BATCH_CHARACTERS = 524_288;
/** Ancestors of one key: evidence, nearest first. */
export const MAX_ANCESTORS = 5;

/** The first new key after quiet waits this long, so that a burst is one submission. */
export const FIRST_TICK_MS = 1000;
/** While new keys arrive. */
export const BUSY_TICK_MS = 10_000;
/** Doubling from the busy tick ends here when it is quiet. */
export const QUIET_TICK_MS = 120_000;
/** The gateway accepts one submission per 5 s, in bursts of 3. */
export const SUBMISSION_INTERVAL_MS = 5000;
export const SUBMISSION_BURST = 3;

/** Request rules of one proposal; the gateway accepts 64 per endpoint, and nobody reads more. */
export const MAX_RULES = 50;
