import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import {
  type PolicyChunk,
  type SubmitPolicyAnalysisRequest,
  type SubmitPolicyAnalysisResponse,
  SubmitPolicyAnalysisResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Admission, admit } from "./admit.ts";
import type { AnalysisMode, Chunk, ChunkStage } from "./chunk.ts";
import type { DraftSandbox } from "./context.ts";
import { mergeDenial } from "./denials.ts";
import { announce, candidateOf, type Drafts, GATEWAY_ACTOR, moveChunk, recordStep } from "./drafts.ts";
import { LASTING } from "./lifetime.ts";
import { MAX_CHUNKS_PER_SUBMISSION, MAX_DENIALS, MAX_HITS_PER_SUBMISSION } from "./limits.ts";
import { isRefusal, readProposal } from "./proposal.ts";
import { difference, sentenceFor } from "./reach.ts";
import type { Refusal } from "./refusal.ts";
import { advisorMode } from "./settings.ts";
import { settle } from "./settle.ts";
import { asciiSentence, safeText } from "./text.ts";

interface Result {
  readonly chunkIndex: number;
  readonly chunkId: string;
  readonly code: string;
  readonly reason: string;
  readonly accepted: boolean;
}

const modes: Readonly<Record<string, AnalysisMode>> = {
  "": "mechanistic",
  mechanistic: "mechanistic",
  model: "model",
  agent_authored: "agent_authored",
};

/**
 * Takes the denials and proposals of a sandbox: every proposal is judged on its own and named in the answer. Throws
 * `resource_exhausted` when submissions come too fast or are too large, and then keeps nothing.
 */
export function submitAnalysis(drafts: Drafts, sandbox: DraftSandbox, request: SubmitPolicyAnalysisRequest): SubmitPolicyAnalysisResponse {
  const { context, repository } = drafts;
  const mode = modeOf(request.analysisMode);
  requireSize("chunks", request.proposedChunks.length, MAX_CHUNKS_PER_SUBMISSION);
  requireSize("summaries", request.summaries.length, MAX_DENIALS);
  const now = context.clock.now();
  drafts.rate.take(sandbox.id, now);
  let settled = 0;
  const results = context.store.transaction(() => {
    settled = settle(drafts, sandbox.id);
    const evicted = keepDenials(drafts, sandbox, request, now);
    repository.analyzed(sandbox.id, now, request.overflowCount + evicted);
    return request.proposedChunks.map((chunk, index) => ({ chunkIndex: index, ...take(drafts, sandbox, chunk, mode, now) }));
  });
  const fresh = results.filter(({ code }) => code === "accepted");
  if (settled > 0 || results.some(({ accepted }) => accepted)) announce(drafts, sandbox.id, summaryOf(fresh), fresh.length);
  return answer(results);
}

function modeOf(text: string): AnalysisMode {
  const mode = modes[text];
  if (!mode) throw new OpenShellError("invalid_argument", `analysis_mode '${text}' is not one of mechanistic, model, agent_authored`);
  return mode;
}

function requireSize(what: string, size: number, most: number): void {
  if (size <= most) return;
  throw new OpenShellError("resource_exhausted", `a submission has ${size} ${what}, at most ${most} are accepted`, {
    next: "send the rest with the next one",
  });
}

/** Stores the denials; returns how many older ones had to go. */
function keepDenials({ repository }: Drafts, sandbox: DraftSandbox, request: SubmitPolicyAnalysisRequest, now: number): number {
  for (const summary of request.summaries) {
    const named = mergeDenial(undefined, summary, now);
    if (!named) continue;
    const merged = mergeDenial(repository.denial(sandbox.id, named), summary, now);
    if (merged) repository.putDenial(sandbox.id, merged);
  }
  return repository.evictDenials(sandbox.id);
}

function take(drafts: Drafts, sandbox: DraftSandbox, chunk: PolicyChunk, mode: AnalysisMode, now: number): Omit<Result, "chunkIndex"> {
  const answered = propose(drafts, sandbox, chunk, mode, now);
  if ("code" in answered) return { chunkId: "", code: answered.code, reason: answered.reason, accepted: false };
  return { chunkId: answered.chunk.id, code: answered.folded ? "folded" : "accepted", reason: answered.sentence, accepted: true };
}

function propose(
  drafts: Drafts,
  sandbox: DraftSandbox,
  proposed: PolicyChunk,
  requestMode: AnalysisMode,
  now: number,
): Refusal | { chunk: Chunk; folded: boolean; sentence: string } {
  if (advisorMode(drafts.context, sandbox.id) === "off")
    return { code: "advisor_off", reason: "the policy advisor is off for this sandbox" };
  // What the agent wrote stays marked, even inside a batch that says otherwise.
  const mode = proposed.analysisMode === "agent_authored" ? "agent_authored" : requestMode;
  const stage: ChunkStage | undefined =
    proposed.stage === "refined" ? "refined" : proposed.stage === "" || proposed.stage === "initial" ? "initial" : undefined;
  if (!stage) return { code: "bad_schema", reason: `stage '${safeText(proposed.stage, 32).text}' is not initial or refined` };
  const rule = readProposal(proposed.ruleName, proposed.proposedRule, {
    stage,
    mode,
    ownEndpoint: drafts.context.ownEndpoint,
    trustedCidrs: sandbox.trustedCidrs,
  });
  if (isRefusal(rule)) return rule;
  const chunk = newChunk(sandbox, proposed, { stage, mode, rule, now });
  const admission = admit(drafts, chunk);
  if ("code" in admission) return admission;
  return store(drafts, sandbox, admission);
}

function newChunk(
  sandbox: DraftSandbox,
  proposed: PolicyChunk,
  { stage, mode, rule, now }: { stage: ChunkStage; mode: AnalysisMode; rule: Chunk["rule"]; now: number },
): Chunk {
  const rationale = safeText(proposed.rationale);
  const lastSeen = Math.min(now, proposed.lastSeenTime ? timestampMs(proposed.lastSeenTime) : now);
  return {
    id: crypto.randomUUID(),
    sandboxId: sandbox.id,
    status: "pending",
    stage,
    analysisMode: mode,
    modelId: safeText(proposed.modelId, 128).text,
    ruleName: proposed.ruleName,
    rule,
    binary: rule.binaries[0]?.path ?? "",
    rationale: rationale.text,
    escaped: rationale.escaped,
    edited: false,
    offeredConfidence: Number.isFinite(proposed.confidence) ? proposed.confidence : 0,
    supersedes: proposed.supersedesChunkId,
    hitCount: Math.min(MAX_HITS_PER_SUBMISSION, Math.max(1, proposed.hitCount)),
    firstSeen: Math.min(lastSeen, proposed.firstSeenTime ? timestampMs(proposed.firstSeenTime) : lastSeen),
    lastSeen,
    createdTime: now,
    pendingSince: now,
    decidedTime: undefined,
    viewedTime: undefined,
    rejectionReason: "",
    applicationError: "",
    dnsNote: "",
    ...LASTING,
    applied: undefined,
  };
}

function store(drafts: Drafts, sandbox: DraftSandbox, admission: Admission): { chunk: Chunk; folded: boolean; sentence: string } {
  const { repository } = drafts;
  const { chunk } = admission;
  if (admission.fold) {
    const open = admission.fold;
    const folded = repository.update(open, {
      hitCount: open.hitCount + chunk.hitCount,
      lastSeen: Math.max(open.lastSeen, chunk.lastSeen),
      pendingSince: chunk.createdTime,
    });
    return { chunk: folded, folded: true, sentence: `added to chunk ${open.id}` };
  }
  for (const [older, status, reason] of admission.retire) {
    const eventType = status === "expired" ? "expired" : "superseded";
    moveChunk(
      drafts,
      older,
      { status, decidedTime: chunk.createdTime },
      { eventType, actor: GATEWAY_ACTOR, reason, description: `${reason}: chunk ${chunk.id}` },
    );
  }
  repository.insert(chunk);
  const current = drafts.context.policies.current(sandbox.id)?.policy ?? { version: 1, networkPolicies: {} };
  const sentence = sentenceFor(difference(current, candidateOf(drafts, current, chunk).policy));
  recordStep(drafts, chunk, "", { eventType: "proposed", actor: `sandbox:${sandbox.name}`, description: sentence }, chunk.createdTime);
  return { chunk, folded: false, sentence: asciiSentence(sentence) };
}

function summaryOf(fresh: readonly Result[]): string {
  const [first] = fresh;
  if (!first) return "proposals were hit again";
  return fresh.length === 1 ? first.reason : `${first.reason}, and ${fresh.length - 1} more`;
}

function answer(results: readonly Result[]): SubmitPolicyAnalysisResponse {
  const accepted = results.filter((result) => result.accepted);
  const rejected = results.filter((result) => !result.accepted);
  return create(SubmitPolicyAnalysisResponseSchema, {
    acceptedChunks: accepted.length,
    rejectedChunks: rejected.length,
    rejectionReasons: rejected.map(({ code, reason }) => `${code}: ${safeText(reason).text}`),
    acceptedChunkIds: accepted.map(({ chunkId }) => chunkId),
    results: results.map(({ chunkIndex, chunkId, code, reason }) => ({ chunkIndex, chunkId, code, reason: safeText(reason).text })),
  });
}
