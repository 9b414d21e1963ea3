import { classifyAddress } from "../../../address/address-class.ts";
import { AddressSet } from "../../../address/address-set.ts";
import { OpenShellError } from "../../../error.ts";
import type { EventSink, SecurityEvent } from "../../../events/event.ts";
import { stable } from "../../../policy/hash.ts";
import type { Policy } from "../../../policy/model.ts";
import { hostsMeet } from "../../../policy/patterns.ts";
import type { DenialSummary, PolicyChunk } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { limitedProbe, type Probe } from "../proxy/destination/probe.ts";
import { Resolver } from "../proxy/destination/resolver.ts";
import { Aggregator, type Emission, type Entry } from "./aggregator.ts";
import { denialOf } from "./denial.ts";
import { MAX_CHECKED, MAX_QUEUED_EVENTS } from "./limits.ts";
import { proposeEndpoint } from "./mechanistic.ts";
import { type Narrow, proposeRequests } from "./narrow.ts";
import { whyNotProposed } from "./not-proposed.ts";
import { Schedule } from "./schedule.ts";
import { summaryOf } from "./summary.ts";

/** One report to the gateway. */
export interface Submission {
  readonly summaries: DenialSummary[];
  readonly chunks: PolicyChunk[];
  /** Keys and events that there was no room for. */
  readonly overflow: number;
}

/** What became of the chunks, in their order. */
export interface SubmissionAnswer {
  readonly results: readonly { readonly chunkIndex: number; readonly code: string; readonly reason: string }[];
}

export interface PolicyAdvisorOptions {
  /** Rejects when the gateway did not take the report; it is kept then. */
  readonly submit: (submission: Submission) => Promise<SubmissionAnswer>;
  readonly currentPolicy: () => Policy;
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** Names that the probe may resolve; default `/etc/hosts`. */
  readonly hostsFile?: string;
  /** Paths of this program inside the box; never in a rule. */
  readonly ownExecutables?: readonly string[];
  readonly probe?: Probe;
  /** Told what is not proposed and what had no room. */
  readonly emit?: EventSink;
  readonly now?: () => number;
}

/** The gateway has room for ten open proposals; what it refused for that is offered again. */
const OFFER_AGAIN = "cap_reached";

/** What the gateway says of a proposal that it keeps. */
const TAKEN: ReadonlySet<string> = new Set(["accepted", "folded"]);
/** Stages of requests in a connection that is allowed. */
const INSIDE: ReadonlySet<string> = new Set(["l7_deny", "l7_audit"]);
/** Lines of one report in the log about what is not proposed; an agent must not be able to write it full. */
const NAMED_PROBLEMS = 5;

/**
 * Turns the denials of one sandbox into reports and proposals for its gateway. Fed from the event stream through a bounded queue, so that
 * the data path never waits; it can only propose, never allow.
 */
export class PolicyAdvisor {
  readonly #options: PolicyAdvisorOptions;
  /** Whole milliseconds since the epoch when nobody sets the clock; goes on evenly when somebody does, so that no report waits for a time to come again. */
  readonly #now: () => number;
  readonly #probe: Probe;
  readonly #trusted: AddressSet;
  readonly #aggregator = new Aggregator();
  readonly #schedule = new Schedule();
  #queue: SecurityEvent[] = [];
  #draining = false;
  #running = false;
  #enabled = true;
  #submitting = false;
  #policySeen: Policy | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PolicyAdvisorOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Math.round(performance.timeOrigin + performance.now()));
    this.#trusted = new AddressSet(options.trustedCidrs);
    this.#probe = options.probe ?? limitedProbe(new Resolver({ hostsFile: options.hostsFile ?? "/etc/hosts" }), options.internalDomains);
  }

  /** Off: events are not looked at. */
  set enabled(enabled: boolean) {
    this.#enabled = enabled;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** Takes any event; cheap, never throws, never waits. */
  observe(event: SecurityEvent): void {
    // Every policy that comes into force is told of here, also one that is gone again before anything is denied.
    if (this.#running) this.#noticeChanges();
    if (!this.#enabled || (event.kind !== "network" && event.kind !== "http") || event.stage === undefined) return;
    if (this.#queue.length >= MAX_QUEUED_EVENTS) {
      this.#aggregator.lose(1);
      return;
    }
    this.#queue.push(event);
    if (this.#draining) return;
    this.#draining = true;
    setImmediate(() => this.#drain());
  }

  start(): void {
    this.#running = true;
    this.#plan();
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  /** The gateway is reachable again: report what is kept soon. */
  nudge(): void {
    this.#schedule.nudge(this.#now());
    this.#plan();
  }

  #drain(): void {
    this.#draining = false;
    const events = this.#queue;
    this.#queue = [];
    const now = this.#now();
    for (const event of events) {
      const denial = denialOf(event);
      if (denial === undefined) continue;
      if (this.#aggregator.observe({ ...denial, time: now }) === "new") this.#schedule.newKey(now);
      else this.#schedule.knownKey(now);
    }
    this.#plan();
  }

  /** A new policy for a key makes its next denial news: an approval that is over or was taken back, or one that allowed less than is asked for. */
  #noticeChanges(): void {
    const policy = this.#options.currentPolicy();
    const before = this.#policySeen;
    if (policy === before) return;
    this.#policySeen = policy;
    if (before === undefined) return;
    const [old, next] = whatDiffers(before, policy);
    this.#aggregator.forgetReports((entry) => rulesFor(next, entry) !== rulesFor(old, entry));
  }

  /** One timer, for the next tick; none when nothing waits. */
  #plan(): void {
    clearTimeout(this.#timer);
    const next = this.#schedule.next();
    if (!this.#running || this.#submitting || next === undefined) return;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, next - this.#now()));
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    const now = this.#now();
    const batch = this.#aggregator.due(now);
    const overflow = this.#aggregator.overflow;
    if (batch.length > 0 || overflow > 0) {
      if (this.#schedule.takeSubmission(now) !== true) {
        this.#plan();
        return;
      }
      this.#submitting = true;
      await this.#submit(batch, overflow, now);
      this.#submitting = false;
    }
    this.#schedule.ticked(now, this.#aggregator.unreported);
    this.#plan();
  }

  async #submit(batch: readonly Emission[], overflow: number, at: number): Promise<void> {
    try {
      const submission: Submission = { summaries: [], chunks: [], overflow };
      const proposed: Emission[] = [];
      const reported = firstChecked(batch);
      for (const emission of reported) {
        // The check of one proposal takes a while; what is decided for the agent must not wait for all of them.
        await new Promise((done) => setImmediate(done));
        await this.#analyse(emission, submission, proposed);
      }
      const answer = await this.#options.submit(submission);
      this.#aggregator.delivered(reported, overflow, at);
      for (const result of answer.results) {
        const emission = proposed[result.chunkIndex];
        if (emission === undefined || TAKEN.has(result.code)) continue;
        if (result.code === OFFER_AGAIN) this.#aggregator.offerAgain(emission);
        else this.#sayWhyNot(emission.entry, [`the gateway did not take the proposal (${result.code}): ${result.reason}`]);
      }
      if (overflow > 0) this.#say(`${overflow} denials had no room among those that are kept for proposals`);
    } catch (reason) {
      this.#say(`${batch.length} denials are kept, the gateway did not take them: ${OpenShellError.from(reason).message}`);
    }
  }

  /** Adds the summary of one key, and its proposal when there may be one. */
  async #analyse(emission: Emission, submission: Submission, proposed: Emission[]): Promise<void> {
    const { entry } = emission;
    const refusal = whyNotProposed(entry, this.#options.ownExecutables ?? []);
    const addresses = refusal === undefined ? await this.#probe(entry.host) : undefined;
    const summary = summaryOf(emission, addresses ?? [...entry.addresses], this.#clockShift());
    submission.summaries.push(summary);
    const proposal = refusal === undefined ? this.#propose(emission, addresses) : { problems: [refusal] };
    if (entry.reportedAt === undefined || emission.requests.some(({ sample, times }) => sample.count === times))
      this.#sayWhyNot(entry, proposal.problems);
    const { chunk } = proposal;
    if (chunk === undefined) return;
    chunk.firstSeenTime = summary.firstSeenTime;
    chunk.lastSeenTime = summary.lastSeenTime;
    submission.chunks.push(chunk);
    proposed.push(emission);
  }

  #propose(emission: Emission, addresses: readonly string[] | undefined): Narrow {
    const { entry, requests } = emission;
    // Where the newest denial is of the connection itself, its requests are of an earlier policy.
    if (INSIDE.has(entry.stage) && requests.length > 0) return proposeRequests(emission, this.#options.currentPolicy());
    const why = this.#whyNotNow(entry, addresses);
    return why === undefined ? { chunk: proposeEndpoint(emission, addresses, this.#trusted), problems: [] } : { problems: [why] };
  }

  #whyNotNow(entry: Entry, addresses: readonly string[] | undefined): string | undefined {
    if (INSIDE.has(entry.stage)) return "its requests were reported before";
    if (addresses?.some((address) => classifyAddress(address) === "blocked")) return "it has an address that is always blocked";
    if (entry.stage === "ssrf" && (addresses === undefined || addresses.every((address) => classifyAddress(address) === "public")))
      return "the name led to a private address that only the operator can vouch for (allowed_ips or --trusted-cidr)";
    if (covers(this.#options.currentPolicy(), entry) && entry.stage !== "ssrf") return "the policy has allowed it since";
    return undefined;
  }

  /** What the clock was set by since the start. Milliseconds. */
  #clockShift(): number {
    return this.#options.now === undefined ? Date.now() - this.#now() : 0;
  }

  #sayWhyNot({ binary, host, port }: Entry, problems: readonly string[]): void {
    const more = problems.length - NAMED_PROBLEMS;
    const named = more > 0 ? [...problems.slice(0, NAMED_PROBLEMS), `${more} more requests, for reasons like these`] : problems;
    for (const why of named) this.#say(`no rule is proposed for ${binary} to ${host}:${port}: ${why}`);
  }

  #say(message: string): void {
    this.#options.emit?.({ kind: "config", activity: "proposed", time: Date.now(), severity: "informational", message });
  }
}

/** As much of a batch as is analysed at once; the rest stays due. */
function firstChecked(batch: readonly Emission[]): Emission[] {
  let checks = 0;
  return batch.filter(({ requests }) => requests.length === 0 || ++checks <= MAX_CHECKED);
}

/** Two policies without the rules that are the same in both: a thousand keys are not compared by a thousand rules while requests wait. */
function whatDiffers(before: Policy, after: Policy): [Policy, Policy] {
  const texts = new Map(Object.entries(before.networkPolicies).map(([key, rule]) => [key, stable(rule)]));
  const same = new Set(Object.entries(after.networkPolicies).flatMap(([key, rule]) => (texts.get(key) === stable(rule) ? [key] : [])));
  const rest = ({ version, networkPolicies }: Policy): Policy => ({
    version,
    networkPolicies: Object.fromEntries(Object.entries(networkPolicies).filter(([key]) => !same.has(key))),
  });
  return [rest(before), rest(after)];
}

/** Everything that a policy says of a host and port, to be compared. */
function rulesFor(policy: Policy, { host, port }: Entry): string {
  return stable(
    Object.entries(policy.networkPolicies).flatMap(([key, { endpoints, binaries }]) => {
      const here = endpoints.filter((endpoint) => endpoint.ports.includes(port) && hostsMeet(endpoint.host, host));
      return here.length === 0 ? [] : [[key, here, binaries]];
    }),
  );
}

/** Whether a rule names exactly this program and destination; patterns are for the engine to judge, and the gateway looks again. */
function covers(policy: Policy, entry: Entry): boolean {
  return Object.values(policy.networkPolicies).some(
    (rule) =>
      rule.binaries.some((binary) => binary.path === entry.binary) &&
      rule.endpoints.some((endpoint) => endpoint.host === entry.host && endpoint.ports.includes(entry.port)),
  );
}
