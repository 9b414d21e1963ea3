import { createHash } from "node:crypto";
import { escapeText } from "../../../events/escape.ts";
import type { DenialStage } from "../../../events/event.ts";
import { MAX_COMMAND_LINE, sanitiseCommandLine, sanitisePath } from "../../../events/sanitise.ts";
import type { Asked } from "./asked.ts";
import type { Denial } from "./denial.ts";
import {
  COOL_DOWN_MS,
  MAX_ANCESTORS,
  MAX_BATCH,
  MAX_BATCH_CHARACTERS,
  MAX_COMMAND_LINES,
  MAX_EARLY_REPORTS,
  MAX_KEYS,
  MAX_KEYS_PER_BINARY,
  MAX_SAMPLES,
  SLOW_DRIP_MS,
  THRESHOLD,
} from "./limits.ts";

export interface Sample {
  readonly method: string;
  readonly path: string;
  readonly decision: "deny" | "audit";
  count: number;
  /** Of these, since the last report. */
  fresh: number;
  /** Of a denied request: what it asked for. */
  readonly asked: Asked | undefined;
}

/** Everything that is known about one (host, port, binary). Times in milliseconds since the epoch. */
export interface Entry {
  /** Stable over reports: a hash of the key. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly binary: string;
  ancestors: readonly string[];
  sha256: string;
  reason: string;
  /** Of the newest event. */
  code: string;
  stage: DenialStage;
  readonly stages: Set<DenialStage>;
  readonly addresses: Set<string>;
  readonly commandLines: Set<string>;
  readonly samples: Map<string, Sample>;
  readonly firstSeen: number;
  lastSeen: number;
  /** Since the last report. */
  count: number;
  /** Of these, inside the cool-down. */
  suppressed: number;
  /** Never reset. */
  total: number;
  reportedAt: number | undefined;
  /** Reports inside the cool-down that began then. */
  early: number;
  /** Time of the oldest event that is not reported. */
  unreportedSince: number;
}

/** One entry in one report, with the counts that the report carries. */
export interface Emission {
  readonly entry: Entry;
  readonly count: number;
  readonly suppressed: number;
  readonly persistent: boolean;
  /** Inside the cool-down, for the sake of requests that no report has named. */
  readonly early: boolean;
  /** Denied requests of this report, and how often they came since the last one. */
  readonly requests: readonly { readonly sample: Sample; readonly times: number }[];
}

export type Observed = "new" | "known" | "overflow";

/** After a search for room that found none; a flood must not cost a search each. */
const EVICTION_PAUSE_MS = 1000;
/** Distinct addresses kept per key. */
const MAX_ADDRESSES = 16;

/**
 * Groups denials by (host, port, binary) and decides which are due to be reported. Time is an argument, nothing here waits. A batch that
 * could not be delivered stays due, with what has come in since.
 */
export class Aggregator {
  readonly #entries = new Map<string, Entry>();
  readonly #perBinary = new Map<string, number>();
  #overflow = 0;
  #fullSince = 0;
  #fullUntil = 0;

  /** Keys that there was no room for, since they were last reported. */
  get overflow(): number {
    return this.#overflow;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** True while something has not been reported. */
  get unreported(): boolean {
    for (const entry of this.#entries.values()) if (entry.count > 0) return true;
    return this.#overflow > 0;
  }

  observe(denial: Denial): Observed {
    const key = `${denial.host}\0${denial.port}\0${denial.protocol}\0${denial.binary}`;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      const before = isNews(known, denial.time);
      add(known, denial);
      return !before && isNews(known, denial.time) ? "new" : "known";
    }
    if (!this.#makeRoom(denial)) {
      this.#overflow++;
      return "overflow";
    }
    const entry = newEntry(key, denial);
    add(entry, denial);
    this.#entries.set(key, entry);
    this.#perBinary.set(denial.binary, (this.#perBinary.get(denial.binary) ?? 0) + 1);
    return "new";
  }

  /** Counts events that were lost before they could be looked at. */
  lose(events: number): void {
    this.#overflow += events;
  }

  /** What is due at `now`, newest keys last, at most one submission's worth. */
  due(now: number): Emission[] {
    const due: Emission[] = [];
    let characters = 0;
    for (const entry of this.#entries.values()) {
      const kind = dueKind(entry, now);
      if (kind === undefined) continue;
      characters += weight(entry);
      if (due.length === MAX_BATCH || (due.length > 0 && characters > MAX_BATCH_CHARACTERS)) break;
      const { count, suppressed } = entry;
      due.push({ entry, count, suppressed, persistent: kind === "persistent", early: kind === "early", requests: freshRequests(entry) });
    }
    return due;
  }

  /** The batch collected at `at` has arrived; what came in since stays. */
  delivered(batch: readonly Emission[], overflow: number, at: number): void {
    this.#overflow -= overflow;
    for (const { entry, count, suppressed, early, requests } of batch) {
      for (const { sample, times } of requests) sample.fresh -= times;
      entry.count -= count;
      entry.suppressed -= suppressed;
      if (!early) entry.reportedAt = at;
      entry.early = early ? entry.early + 1 : 0;
      entry.unreportedSince = at;
    }
  }

  /** The gateway had no room for a proposal: the key is due again as if it were new. */
  offerAgain({ entry, requests }: Emission): void {
    for (const { sample } of requests) sample.fresh = Math.max(1, sample.fresh);
    entry.reportedAt = undefined;
    entry.count = Math.max(1, entry.count);
  }

  /**
   * What the policy says of some keys has changed: what is denied from now on is news again, whatever was reported before. Nothing is due by
   * this alone.
   */
  forgetReports(about: (entry: Entry) => boolean): void {
    for (const entry of this.#entries.values()) if (entry.reportedAt !== undefined && about(entry)) entry.reportedAt = undefined;
  }

  /** At the cap the oldest key that is completely reported goes; a key that nobody has seen never does. */
  #makeRoom(denial: Denial): boolean {
    if ((this.#perBinary.get(denial.binary) ?? 0) >= MAX_KEYS_PER_BINARY) return this.#evict(denial.time, denial.binary);
    return this.#entries.size < MAX_KEYS || this.#evict(denial.time, undefined);
  }

  #evict(now: number, binary: string | undefined): boolean {
    if (now < this.#fullUntil && now >= this.#fullSince) return false;
    let oldest: [string, Entry] | undefined;
    for (const pair of this.#entries) {
      const [, entry] = pair;
      const reported = entry.count === 0 && entry.reportedAt !== undefined && now - entry.reportedAt >= COOL_DOWN_MS;
      if (!reported || (binary !== undefined && entry.binary !== binary)) continue;
      if (oldest === undefined || entry.lastSeen < oldest[1].lastSeen) oldest = pair;
    }
    if (oldest === undefined) {
      [this.#fullSince, this.#fullUntil] = [now, now + EVICTION_PAUSE_MS];
      return false;
    }
    this.#entries.delete(oldest[0]);
    const left = (this.#perBinary.get(oldest[1].binary) ?? 1) - 1;
    if (left === 0) this.#perBinary.delete(oldest[1].binary);
    else this.#perBinary.set(oldest[1].binary, left);
    return true;
  }
}

/** New keys at once; then after the cool-down and at the threshold; or, for a slow drip, after five minutes. */
function dueKind(entry: Entry, now: number): "now" | "early" | "persistent" | undefined {
  if (entry.count === 0) return undefined;
  if (entry.reportedAt === undefined) return "now";
  if (now - entry.reportedAt < COOL_DOWN_MS) return entry.early < MAX_EARLY_REPORTS && asksAnew(entry) ? "early" : undefined;
  if (entry.count >= THRESHOLD || asksAnew(entry)) return "now";
  return entry.total >= THRESHOLD && now - entry.unreportedSince >= SLOW_DRIP_MS ? "persistent" : undefined;
}

/** Whether a report would name something that none has named yet. */
function isNews(entry: Entry, now: number): boolean {
  return entry.count > 0 && (entry.reportedAt === undefined || (asksAnew(entry) && dueKind(entry, now) !== undefined));
}

/** A request that no report has named is news to whoever reads them, however often it comes. */
function asksAnew(entry: Entry): boolean {
  return freshRequests(entry).some(({ sample, times }) => times === sample.count);
}

/** Denied requests since the last report. */
export function freshRequests({ samples }: Entry): Emission["requests"] {
  return [...samples.values()].flatMap((sample) =>
    sample.fresh > 0 && sample.decision === "deny" && sample.asked !== undefined ? [{ sample, times: sample.fresh }] : [],
  );
}

/** Characters of an entry in a summary and a chunk together, roughly. */
function weight(entry: Entry): number {
  let repeated = entry.host.length + entry.binary.length;
  for (const text of [...entry.ancestors, ...entry.commandLines]) repeated += text.length;
  let samples = 0;
  for (const key of entry.samples.keys()) samples += key.length;
  return 1024 + 4 * repeated + samples;
}

function newEntry(key: string, denial: Denial): Entry {
  return {
    id: createHash("sha256").update(key).digest("hex").slice(0, 16),
    host: denial.host,
    port: denial.port,
    protocol: denial.protocol,
    binary: denial.binary,
    ancestors: [],
    sha256: denial.sha256,
    reason: "",
    code: denial.code,
    stage: denial.stage,
    stages: new Set(),
    addresses: new Set(),
    commandLines: new Set(),
    samples: new Map(),
    firstSeen: denial.time,
    lastSeen: denial.time,
    count: 0,
    suppressed: 0,
    total: 0,
    reportedAt: undefined,
    early: 0,
    unreportedSince: denial.time,
  };
}

function add(entry: Entry, denial: Denial): void {
  if (entry.count === 0) entry.unreportedSince = denial.time;
  entry.count++;
  entry.total++;
  entry.lastSeen = Math.max(entry.lastSeen, denial.time);
  if (entry.reportedAt !== undefined && denial.time - entry.reportedAt < COOL_DOWN_MS) entry.suppressed++;
  entry.ancestors = denial.ancestors.slice(0, MAX_ANCESTORS).map((path) => path.slice(0, MAX_COMMAND_LINE));
  entry.reason = denial.reason;
  entry.code = denial.code;
  entry.stage = denial.stage;
  entry.stages.add(denial.stage);
  if (denial.sha256 !== "") entry.sha256 = denial.sha256;
  if (denial.address !== "" && entry.addresses.size < MAX_ADDRESSES) entry.addresses.add(denial.address);
  if (denial.commandLine !== "" && entry.commandLines.size < MAX_COMMAND_LINES)
    entry.commandLines.add(sanitiseCommandLine(denial.commandLine));
  addSample(entry, denial);
}

function addSample(entry: Entry, denial: Denial): void {
  if (denial.method === undefined || denial.path === undefined) return;
  const { decision, asked = [] } = denial;
  if (asked.length === 0) keepSample(entry, { method: escapeText(denial.method), path: sanitisePath(denial.path), decision });
  for (const one of asked) keepSample(entry, { method: one.method, path: one.path, decision, asked: one });
}

function keepSample(entry: Entry, sample: Pick<Sample, "method" | "path" | "decision"> & { readonly asked?: Asked }): void {
  const { method, path, decision, asked } = sample;
  const key = `${asked?.protocol ?? ""} ${asked?.selector ?? ""} ${method} ${path} ${decision}`;
  const known = entry.samples.get(key);
  if (known !== undefined) {
    known.count++;
    known.fresh++;
    return;
  }
  if (entry.samples.size >= MAX_SAMPLES && !dropReported(entry)) return;
  entry.samples.set(key, { method, path, decision, asked, count: 1, fresh: 1 });
}

/** The oldest sample that a report has named makes room for a new one. */
function dropReported(entry: Entry): boolean {
  for (const [key, { fresh }] of entry.samples) if (fresh === 0) return entry.samples.delete(key);
  return false;
}
