import { randomUUID } from "node:crypto";
import { OpenShellError } from "../../../error.ts";
import { policyHash } from "../../../policy/hash.ts";
import { removeAddedRule } from "../../../policy/merge.ts";
import { ChunkLifetime } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Chunk, Lifetime } from "./chunk.ts";
import { announce, type Drafts, GATEWAY_ACTOR, moveChunk } from "./drafts.ts";
import { difference, sentenceFor } from "./reach.ts";
import type { DraftRepository } from "./repository.ts";

/** What a chunk keeps about how long its approval holds. */
export type Term = Pick<Chunk, "lifetime" | "grantId">;

/** The term of an approval that lasts until someone takes it back. */
export const LASTING: Term = { lifetime: "always", grantId: "" };

/** The term that a request asks for; every approval for one request gets an id of its own, so that a late report never ends another. */
export function termOf(lifetime: ChunkLifetime, chunk: Pick<Chunk, "supersedes">): Term {
  if (lifetime === ChunkLifetime.UNSPECIFIED || lifetime === ChunkLifetime.ALWAYS) return LASTING;
  if (lifetime !== ChunkLifetime.ONCE && lifetime !== ChunkLifetime.SESSION) {
    throw new OpenShellError("invalid_argument", `lifetime has the unknown value ${lifetime}`);
  }
  if (chunk.supersedes !== "") {
    throw new OpenShellError("failed_precondition", "this proposal takes the place of a rule that lasts, so it cannot end by itself", {
      next: "approve it without a lifetime",
    });
  }
  return lifetime === ChunkLifetime.ONCE ? { lifetime: "once", grantId: randomUUID() } : { lifetime: "session", grantId: "" };
}

/** The API's word for a lifetime. */
export function lifetimeOf({ lifetime }: Pick<Chunk, "lifetime">): ChunkLifetime {
  return { always: ChunkLifetime.ALWAYS, session: ChunkLifetime.SESSION, once: ChunkLifetime.ONCE }[lifetime satisfies Lifetime];
}

/** The one request of an approval has been made: what it added goes. Reports of an approval that ended otherwise change nothing. */
export function grantUsed(drafts: Drafts, sandboxId: string, grantId: string): void {
  if (grantId === "") throw new OpenShellError("invalid_argument", "grant_id is required");
  end(drafts, sandboxId, (chunk) => chunk.grantId === grantId, "its one request was allowed");
}

/** The sandbox has stopped: what was approved for its session goes, and so does an approval for one request that was never made. */
export function sessionOver(drafts: Drafts, sandboxId: string): void {
  end(drafts, sandboxId, () => true, "the sandbox was stopped");
}

function end(drafts: Drafts, sandboxId: string, which: (chunk: Chunk) => boolean, why: string): void {
  const { context, repository } = drafts;
  const ended = context.store.transaction(() => {
    const chunks = repository.passing(sandboxId).filter(which);
    for (const chunk of chunks) endOne(drafts, chunk, why);
    if (chunks.length > 0) context.store.afterCommit(() => context.sessions.pushConfig(sandboxId));
    return chunks.length;
  });
  if (ended > 0) announce(drafts, sandboxId, `${ended} approvals ended: ${why}`);
}

/** Also under a policy for all sandboxes: the sandbox's own must not hold the rule when that is gone. */
function endOne(drafts: Drafts, chunk: Chunk, why: string): void {
  const { policies, clock } = drafts.context;
  const current = policies.current(chunk.sandboxId);
  let versions = { before: current?.version ?? 0, after: current?.version ?? 0 };
  let description = chunk.ruleName;
  if (current !== undefined && chunk.applied !== undefined) {
    const without = removeAddedRule(current.policy, chunk.applied.key, chunk.applied.rule);
    if (policyHash(without) !== policyHash(current.policy)) {
      const provenance = `ended ${chunk.id} (${chunk.ruleName}): ${why}`;
      const { version } = policies.commit(chunk.sandboxId, { expectedVersion: current.version, policy: without, provenance });
      versions = { before: current.version, after: version };
      description = sentenceFor(difference(current.policy, without));
    }
  }
  const step = { eventType: "ended", actor: GATEWAY_ACTOR, reason: why, versions, description };
  moveChunk(drafts, chunk, { status: "expired", decidedTime: clock.now(), applied: undefined, grantId: "" }, step);
}

/** The rules of a sandbox's policy that hold for one request, with the ids under which their use is reported. */
export function oneTimeRules(repository: DraftRepository, sandboxId: string): { rule: string; grantId: string }[] {
  return repository
    .passing(sandboxId)
    .flatMap(({ applied, grantId }) => (applied === undefined || grantId === "" ? [] : [{ rule: applied.key, grantId }]));
}
