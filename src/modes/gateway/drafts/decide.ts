import { OpenShellError } from "../../../error.ts";
import { policyHash } from "../../../policy/hash.ts";
import { removeAddedRule } from "../../../policy/merge.ts";
import type { NetworkRule } from "../../../policy/model.ts";
import type { NetworkPolicyRule } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { type Revision, requireToken } from "./approve.ts";
import { afterRejection } from "./backoff.ts";
import { requireValid } from "./candidate.ts";
import { type Chunk, keysOf } from "./chunk.ts";
import type { DraftSandbox } from "./context.ts";
import { announce, candidateOf, changeablePolicy, type Drafts, findChunk, GATEWAY_ACTOR, moveChunk } from "./drafts.ts";
import { readEdit } from "./edit.ts";
import { LASTING } from "./lifetime.ts";
import { MAX_PENDING_CHUNKS } from "./limits.ts";
import { difference, sentenceFor } from "./reach.ts";
import { settle, settleAndAnnounce } from "./settle.ts";
import { requireState } from "./state.ts";
import { safeText } from "./text.ts";

/** Why a chunk that was cleared is rejected; it does not count for the back-off. */
export const CLEARED = "cleared";

/** Rejects a pending chunk and counts it for the back-off of its hosts and ports. The reason travels back to the analyst. */
export function rejectChunk(
  drafts: Drafts,
  sandbox: DraftSandbox,
  { chunkId, reason, actor }: { chunkId: string; reason: string; actor: string },
): void {
  settleAndAnnounce(drafts, sandbox.id);
  const now = drafts.context.clock.now();
  const said = safeText(reason).text;
  const chunk = drafts.context.store.transaction(() => {
    const found = findChunk(drafts, sandbox, chunkId);
    requireState(found, "reject");
    for (const [host, port] of destinations(found)) {
      drafts.repository.setBackoff(sandbox.id, host, port, afterRejection(drafts.repository.backoff(sandbox.id, host, port), now, said));
    }
    const step = { eventType: "rejected", actor, reason: said, description: found.ruleName };
    return moveChunk(drafts, found, { status: "rejected", decidedTime: now, rejectionReason: said }, step);
  });
  announce(drafts, sandbox.id, `rejected: ${chunk.ruleName}`);
}

/** Rejects every pending chunk with the reason `cleared`, without back-off; returns how many. */
export function clearChunks(drafts: Drafts, sandbox: DraftSandbox, actor: string): number {
  const now = drafts.context.clock.now();
  const cleared = drafts.context.store.transaction(() => {
    settle(drafts, sandbox.id);
    const pending = drafts.repository.pending(sandbox.id);
    for (const chunk of pending) {
      const step = { eventType: "cleared", actor, reason: CLEARED, description: chunk.ruleName };
      moveChunk(drafts, chunk, { status: "rejected", decidedTime: now, rejectionReason: CLEARED }, step);
    }
    return pending.length;
  });
  announce(drafts, sandbox.id, `${cleared} proposals cleared`);
  return cleared;
}

/** Makes a rejected chunk pending again and lifts the back-off of its hosts and ports. */
export function retryChunk(drafts: Drafts, sandbox: DraftSandbox, { chunkId, actor }: { chunkId: string; actor: string }): void {
  settleAndAnnounce(drafts, sandbox.id);
  const now = drafts.context.clock.now();
  const chunk = drafts.context.store.transaction(() => {
    const found = findChunk(drafts, sandbox, chunkId);
    requireState(found, "retry");
    const open = drafts.repository.openFor(sandbox.id, found.stage, keysOf(found.rule))[0];
    if (open) throw new OpenShellError("failed_precondition", `chunk ${open} is pending for the same`, { next: "decide on that one" });
    const pending = drafts.repository.pending(sandbox.id).length;
    if (pending >= MAX_PENDING_CHUNKS) {
      throw new OpenShellError("resource_exhausted", `${pending} chunks are pending, at most ${MAX_PENDING_CHUNKS} are kept`, {
        next: "decide on some first",
      });
    }
    for (const [host, port] of destinations(found)) drafts.repository.setBackoff(sandbox.id, host, port, undefined);
    return moveChunk(
      drafts,
      found,
      { status: "pending", decidedTime: undefined, pendingSince: now, rejectionReason: "" },
      { eventType: "retried", actor, description: found.ruleName },
    );
  });
  announce(drafts, sandbox.id, `pending again: ${chunk.ruleName}`);
}

/** Replaces the rule of a pending chunk by the one a person wrote, after full validation against the current policy. */
export function editChunk(
  drafts: Drafts,
  sandbox: DraftSandbox,
  { chunkId, rule, reviewToken, actor }: { chunkId: string; rule: NetworkPolicyRule | undefined; reviewToken: string; actor: string },
): void {
  settleAndAnnounce(drafts, sandbox.id);
  const chunk = drafts.context.store.transaction(() => {
    const found = findChunk(drafts, sandbox, chunkId);
    requireState(found, "edit");
    const current = changeablePolicy(drafts, sandbox);
    requireToken(found, candidateOf(drafts, current.policy, found), reviewToken);
    const edited: Chunk = { ...found, edited: true, rule: readEdit(found, rule, drafts.context.ownEndpoint) };
    requireValid(edited, candidateOf(drafts, current.policy, edited));
    const other = drafts.repository.openFor(sandbox.id, found.stage, keysOf(edited.rule)).find((id) => id !== found.id);
    if (other)
      throw new OpenShellError("failed_precondition", `chunk ${other} is pending for a part of this`, { next: "decide on that one first" });
    const before = hashOf(found.rule);
    const step = { eventType: "edited", actor, reason: `rule ${before} became ${hashOf(edited.rule)}`, description: describe(edited) };
    return moveChunk(drafts, found, { rule: edited.rule, edited: true, applicationError: "" }, step);
  });
  announce(drafts, sandbox.id, `edited: ${chunk.ruleName}`);
}

/** Takes back exactly what an approval added, also when the policy changed elsewhere since; the chunk is pending again. */
export function undoChunk(drafts: Drafts, sandbox: DraftSandbox, { chunkId, actor }: { chunkId: string; actor: string }): Revision {
  settleAndAnnounce(drafts, sandbox.id);
  const now = drafts.context.clock.now();
  const revision = drafts.context.store.transaction(() => {
    const chunk = findChunk(drafts, sandbox, chunkId);
    requireState(chunk, "undo");
    const current = changeablePolicy(drafts, sandbox);
    const without = chunk.applied ? removeAddedRule(current.policy, chunk.applied.key, chunk.applied.rule) : current.policy;
    const committed =
      policyHash(without) === policyHash(current.policy)
        ? current
        : drafts.context.policies.commit(sandbox.id, {
            expectedVersion: current.version,
            policy: without,
            provenance: `undid ${chunk.id} (${chunk.ruleName}) by ${actor}`,
          });
    retireOpen(drafts, chunk, now);
    moveChunk(
      drafts,
      chunk,
      { status: "pending", decidedTime: undefined, pendingSince: now, applied: undefined, ...LASTING },
      {
        eventType: "undone",
        actor,
        versions: { before: current.version, after: committed.version },
        description: sentenceFor(difference(current.policy, without)),
      },
    );
    return committed;
  });
  drafts.context.store.afterCommit(() => drafts.context.sessions.pushConfig(sandbox.id));
  announce(drafts, sandbox.id, "undone: an approval was taken back");
  return { version: revision.version, hash: revision.hash };
}

/** A key has one open chunk; the one that a person takes back comes first. */
function retireOpen(drafts: Drafts, chunk: Chunk, now: number): void {
  for (const id of drafts.repository.openFor(chunk.sandboxId, chunk.stage, keysOf(chunk.rule))) {
    const other = drafts.repository.chunk(chunk.sandboxId, id);
    const step = { eventType: "superseded", actor: GATEWAY_ACTOR, description: `chunk ${chunk.id} is pending again for the same` };
    if (other) moveChunk(drafts, other, { status: "superseded", decidedTime: now }, step);
  }
}

function destinations(chunk: Chunk): [string, number][] {
  return chunk.rule.endpoints.flatMap(({ host, ports }) => ports.map((port): [string, number] => [host, port]));
}

function describe(chunk: Chunk): string {
  return sentenceFor(difference({ version: 1, networkPolicies: {} }, { version: 1, networkPolicies: { [chunk.ruleName]: chunk.rule } }));
}

/** Eight hex digits name a rule well enough for a history row. */
function hashOf(rule: NetworkRule): string {
  return policyHash({ version: 1, networkPolicies: { rule } }).slice(0, 8);
}
