import { isCovered } from "./covered.ts";
import type { Drafts } from "./drafts.ts";
import { ancestorsOf, announce, denialsOf, GATEWAY_ACTOR, moveChunk } from "./drafts.ts";
import { draftTtl } from "./settings.ts";

/**
 * Brings the pending chunks of a sandbox up to date before anyone looks: those without a hit for `draft_ttl` expire, those that
 * the policy allows by now are superseded. Joins a running transaction; returns how many changed.
 */
export function settle(drafts: Drafts, sandboxId: string): number {
  const { context, repository } = drafts;
  const now = context.clock.now();
  const ttl = draftTtl(context, sandboxId);
  return context.store.transaction(() => {
    const current = context.policies.current(sandboxId);
    let changed = 0;
    for (const chunk of repository.pending(sandboxId)) {
      if (now - chunk.pendingSince >= ttl) {
        const description = `no new hit for ${Math.round(ttl / 1000)} s`;
        moveChunk(drafts, chunk, { status: "expired", decidedTime: now }, { eventType: "expired", actor: GATEWAY_ACTOR, description });
      } else if (chunk.supersedes === "" && current && isCovered(current.policy, chunk, ancestorsOf(denialsOf(drafts, chunk)))) {
        const description = `covered by policy version ${current.version}`;
        moveChunk(
          drafts,
          chunk,
          { status: "superseded", decidedTime: now },
          { eventType: "superseded", actor: GATEWAY_ACTOR, description },
        );
      } else continue;
      changed += 1;
    }
    return changed;
  });
}

/** Settles every sandbox; for a timer of the gateway, so that watchers hear of expiry when nobody asks. */
export function settleAll(drafts: Drafts): void {
  for (const sandboxId of drafts.repository.sandboxesWithPending()) settleAndAnnounce(drafts, sandboxId);
}

/** Settles and tells watchers when something changed. */
export function settleAndAnnounce(drafts: Drafts, sandboxId: string): void {
  const changed = settle(drafts, sandboxId);
  if (changed > 0) announce(drafts, sandboxId, `${changed} proposals expired or are covered by the policy`);
}
