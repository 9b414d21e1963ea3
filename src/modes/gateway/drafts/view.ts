import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { coveredBy } from "../../../policy/merge.ts";
import type { Endpoint, NetworkRule, Policy } from "../../../policy/model.ts";
import { pathCovers } from "../../../policy/patterns.ts";
import { policyToProto, ruleToProto } from "../../../policy/proto.ts";
import { observedAs } from "../../../policy/request-evidence.ts";
import { type PolicyChunk, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { candidateFor, reviewToken } from "./candidate.ts";
import { type Chunk, type Denial, keysOf, type RequestSample } from "./chunk.ts";
import { confidence } from "./confidence.ts";
import type { PolicyRevision } from "./context.ts";
import { ancestorsOf } from "./drafts.ts";
import { flagsOf } from "./flags.ts";
import { lifetimeOf } from "./lifetime.ts";
import { MAX_SAMPLES } from "./limits.ts";
import { difference, newlyReachable, sentenceFor } from "./reach.ts";

/** What a chunk is shown with. */
export interface ViewFacts {
  readonly current: PolicyRevision | undefined;
  /** The approved chunk that it refines. */
  readonly refined: Chunk | undefined;
  /** Every denial that the gateway holds for the sandbox. */
  readonly denials: readonly Denial[];
  /** Patterns of the hosts to which credentials of the sandbox's providers may be sent. */
  readonly credentialed: readonly string[];
  /** Milliseconds a pending chunk lives without a hit. */
  readonly ttl: number;
}

const nothing: Policy = { version: 1, networkPolicies: {} };

/** A chunk as people and programs see it: everything said about it is computed here, from the rule and the gateway's own facts. */
export function viewOf(chunk: Chunk, facts: ViewFacts): PolicyChunk {
  const keys = new Set(keysOf(chunk.rule).map((key) => JSON.stringify(key)));
  const own = facts.denials.filter(({ host, port, binary }) => keys.has(JSON.stringify({ host, port, binary })));
  const flags = flagsOf(chunk, { denials: own, policy: facts.current?.policy, credentialed: facts.credentialed });
  const pending =
    chunk.status === "pending" && facts.current !== undefined ? pendingView(chunk, facts.current, facts.refined, own) : undefined;
  const reach = pending?.reach ?? difference(nothing, { ...nothing, networkPolicies: { [chunk.ruleName]: chunk.rule } });
  return create(PolicyChunkSchema, {
    id: chunk.id,
    status: chunk.status,
    ruleName: chunk.ruleName,
    proposedRule: ruleToProto(chunk.rule),
    rationale: chunk.rationale,
    securityNotes: flags.map(({ sentence }) => sentence).join("; "),
    confidence: confidence(
      chunk,
      own.flatMap(({ stages }) => stages),
    ),
    denialSummaryIds: own.map(({ id }) => id).filter((id) => id !== ""),
    createdTime: timestampFromMs(chunk.createdTime),
    ...(chunk.decidedTime === undefined ? {} : { decidedTime: timestampFromMs(chunk.decidedTime) }),
    stage: chunk.stage,
    supersedesChunkId: chunk.supersedes,
    hitCount: chunk.hitCount,
    firstSeenTime: timestampFromMs(chunk.firstSeen),
    lastSeenTime: timestampFromMs(chunk.lastSeen),
    binary: chunk.binary,
    rejectionReason: chunk.rejectionReason,
    applicationError: chunk.applicationError,
    flags,
    analysisMode: chunk.analysisMode,
    modelId: chunk.modelId,
    lifetime: lifetimeOf(chunk),
    replay: replayOf(chunk.rule, own, facts.denials),
    newlyReachable: newlyReachable(reach),
    sampleCmdlines: [...new Set(own.flatMap(({ commandLines }) => commandLines))].slice(0, MAX_SAMPLES),
    sentence: sentenceFor(reach),
    ancestors: [...(own[0]?.ancestors ?? [])],
    requestSamples: samplesFor(chunk, own).map((sample) => ({ ...sample })),
    ...(pending?.fields ?? {}),
    ...(chunk.status === "pending" ? { expirationTime: timestampFromMs(chunk.pendingSince + facts.ttl) } : {}),
  });
}

/** What only a pending chunk carries: the policy before and after, and the token that names exactly this pair. */
function pendingView(chunk: Chunk, current: PolicyRevision, refined: Chunk | undefined, own: readonly Denial[]) {
  const candidate = candidateFor(current.policy, chunk, refined, ancestorsOf(own));
  return {
    reach: difference(current.policy, candidate.policy),
    fields: {
      reviewToken: reviewToken(chunk, candidate.hash),
      currentEffectivePolicyHash: current.hash,
      candidateEffectivePolicyHash: candidate.hash,
      currentEffectivePolicy: policyToProto(current.policy),
      candidateEffectivePolicy: policyToProto(candidate.policy),
    },
  };
}

/** How the rule alone would have decided the denials that are held: its own, and everything else that was refused. */
function replayOf(rule: NetworkRule, own: readonly Denial[], all: readonly Denial[]) {
  if (rule.endpoints.every(({ rules }) => rules.length > 0)) return replayOfRequests(rule, own);
  const policy: Policy = { version: 1, networkPolicies: { [rule.name]: rule } };
  const others = all.filter((denial) => !own.includes(denial));
  const sum = (denials: readonly Denial[]): number => denials.reduce((total, denial) => total + denial.totalCount, 0);
  const allowed = (denials: readonly Denial[]): Denial[] => denials.filter((denial) => allows(policy, rule, denial));
  return { activityTotal: sum(own), activityAllowed: sum(allowed(own)), otherTotal: sum(others), otherAllowed: sum(allowed(others)) };
}

/** The same for a rule about requests, of which the denials that are held name the latest. */
function replayOfRequests(rule: NetworkRule, own: readonly Denial[]) {
  const denied = own.flatMap(({ requests }) => requests).filter(({ decision }) => decision === "deny");
  const allowed = new Set(denied.filter((sample) => rule.endpoints.some((endpoint) => explains(endpoint, sample))));
  const sum = (samples: Iterable<RequestSample>): number => [...samples].reduce((total, { count }) => total + count, 0);
  // Of requests that it was not made for, none may pass: what is in the rule and what was denied are compared one by one.
  return { activityTotal: sum(allowed), activityAllowed: sum(allowed), otherTotal: sum(denied) - sum(allowed), otherAllowed: 0 };
}

/** The denied requests that a chunk is about: all for a connection, for rules about requests those that they allow. */
function samplesFor(chunk: Chunk, own: readonly Denial[]): RequestSample[] {
  const { endpoints } = chunk.rule;
  const about = endpoints.some(({ rules }) => rules.length > 0);
  return own
    .flatMap(({ requests }) => requests)
    .filter((sample) => !about || (sample.decision === "deny" && endpoints.some((endpoint) => explains(endpoint, sample))));
}

function explains(endpoint: Endpoint, { method, path }: RequestSample): boolean {
  return endpoint.rules.some((rule) => {
    const wanted = observedAs(endpoint.protocol, rule);
    return wanted?.method === method && (wanted.path === "" || pathCovers(wanted.path, path));
  });
}

function allows(policy: Policy, rule: NetworkRule, { host, port, binary }: Denial): boolean {
  return rule.endpoints.some((endpoint) =>
    coveredBy(policy, { name: "denied", endpoints: [{ ...endpoint, host, ports: [port] }], binaries: [{ path: binary, selfOnly: true }] }),
  );
}
