import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import type { Policy } from "../../../policy/model.ts";
import { DraftPolicyUpdateSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Candidate, candidateFor } from "./candidate.ts";
import type { Chunk, Denial } from "./chunk.ts";
import { keysOf } from "./chunk.ts";
import type { DraftContext, DraftSandbox, PolicyRevision } from "./context.ts";
import { MIN_ID_PREFIX } from "./limits.ts";
import { SubmissionRate } from "./rate.ts";
import { type ChunkChange, DraftRepository } from "./repository.ts";
import { mayFollow } from "./state.ts";
import { asciiSentence } from "./text.ts";

/** What every operation on drafts works with. */
export interface Drafts {
  readonly context: DraftContext;
  readonly repository: DraftRepository;
  readonly rate: SubmissionRate;
}

/** Who acts in the history when nobody asked: expiry and supersession. */
export const GATEWAY_ACTOR = "gateway";

/** Why a chunk moved, for its history row. */
export interface Step {
  readonly eventType: string;
  readonly actor: string;
  readonly reason?: string;
  readonly description: string;
  /** Policy versions around the step; both the current one when the policy did not change. */
  readonly versions?: { readonly before: number; readonly after: number };
}

/** Opens the service on a gateway; holds nothing but the submission buckets. */
export function openDrafts(context: DraftContext): Drafts {
  return { context, repository: new DraftRepository(context.store.db), rate: new SubmissionRate() };
}

/** Changes a chunk and writes the row of the history in the same transaction; a status that may not follow is an error of ours. */
export function moveChunk(drafts: Drafts, chunk: Chunk, change: ChunkChange, step: Step): Chunk {
  const { context, repository } = drafts;
  const status = change.status ?? chunk.status;
  if (status !== chunk.status && !mayFollow(chunk.status, status)) {
    throw new OpenShellError("failed_precondition", `chunk ${chunk.id} cannot go from '${chunk.status}' to '${status}'`);
  }
  const after = repository.update(chunk, change);
  recordStep(drafts, after, chunk.status, step, context.clock.now());
  return after;
}

/** Writes a history row for a chunk that is already in its new state. */
export function recordStep(drafts: Drafts, chunk: Chunk, oldStatus: string, step: Step, time: number): void {
  const version = drafts.context.policies.current(chunk.sandboxId)?.version ?? 0;
  drafts.repository.record(chunk.sandboxId, {
    chunkId: chunk.id,
    time,
    eventType: step.eventType,
    actor: step.actor,
    oldStatus,
    newStatus: chunk.status,
    versionBefore: step.versions?.before ?? version,
    versionAfter: step.versions?.after ?? version,
    reason: step.reason ?? "",
    description: asciiSentence(step.description),
  });
}

/** Tells watchers that drafts changed, as soon as the change is durable. */
export function announce(drafts: Drafts, sandboxId: string, summary: string, newChunks = 0): void {
  drafts.context.store.afterCommit(() => publish(drafts, sandboxId, summary, newChunks));
}

function publish(drafts: Drafts, sandboxId: string, summary: string, newChunks: number): void {
  const draftVersion = drafts.repository.nextVersion(sandboxId);
  drafts.context.bus.publish(sandboxId, {
    case: "draftPolicyUpdate",
    value: create(DraftPolicyUpdateSchema, {
      draftVersion: BigInt(draftVersion),
      newChunks,
      totalPending: drafts.repository.pending(sandboxId).length,
      summary: asciiSentence(summary),
    }),
  });
}

/** The chunk that an id or a unique prefix of one names; throws `not_found` or `invalid_argument`. */
export function findChunk(drafts: Drafts, sandbox: DraftSandbox, id: string): Chunk {
  if (id === "") throw new OpenShellError("invalid_argument", "chunk_id is required", { next: listHint(sandbox) });
  const exact = drafts.repository.chunk(sandbox.id, id);
  if (exact) return exact;
  const ids = id.length < MIN_ID_PREFIX ? [] : drafts.repository.idsWithPrefix(sandbox.id, id);
  if (ids.length > 1) throw new OpenShellError("invalid_argument", `chunk id '${id}' is ambiguous`, { next: "give more characters of it" });
  const chunk = ids[0] === undefined ? undefined : drafts.repository.chunk(sandbox.id, ids[0]);
  if (!chunk) throw new OpenShellError("not_found", `sandbox ${sandbox.name} has no chunk '${id}'`, { next: listHint(sandbox) });
  return chunk;
}

function listHint(sandbox: DraftSandbox): string {
  return `list them with \`openshell sandbox draft ${sandbox.name}\``;
}

/** The policy that an approval would change; throws `failed_precondition` when there is none to change. */
export function changeablePolicy(drafts: Drafts, sandbox: DraftSandbox): PolicyRevision {
  if (drafts.context.policies.globalActive?.()) {
    throw new OpenShellError("failed_precondition", "a policy for all sandboxes is in force and decides instead of this sandbox's own", {
      next: "delete it with `openshell policy delete --global` first",
    });
  }
  const current = drafts.context.policies.current(sandbox.id);
  if (!current) {
    throw new OpenShellError("failed_precondition", `sandbox ${sandbox.name} has no policy yet`, {
      next: "wait until it is READY, or set one with `openshell policy set`",
    });
  }
  return current;
}

/** The approved chunk that a refined one replaces; undefined when it is gone or no longer approved. */
export function refinedBy(drafts: Drafts, chunk: Chunk): Chunk | undefined {
  if (chunk.supersedes === "") return undefined;
  const older = drafts.repository.chunk(chunk.sandboxId, chunk.supersedes);
  return older?.status === "approved" ? older : undefined;
}

/** The policy as it would be with a chunk. */
export function candidateOf(drafts: Drafts, policy: Policy, chunk: Chunk): Candidate {
  return candidateFor(policy, chunk, refinedBy(drafts, chunk), ancestorsOf(denialsOf(drafts, chunk)));
}

/** The programs that started the denied ones, each once. */
export function ancestorsOf(denials: readonly Denial[]): string[] {
  return [...new Set(denials.flatMap(({ ancestors }) => ancestors))];
}

/** The denials that a chunk is about, as far as the gateway still holds them. */
export function denialsOf(drafts: Drafts, chunk: Pick<Chunk, "sandboxId" | "rule">): Denial[] {
  return keysOf(chunk.rule).flatMap((key) => drafts.repository.denial(chunk.sandboxId, key) ?? []);
}
