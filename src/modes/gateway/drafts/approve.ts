import { OpenShellError } from "../../../error.ts";
import type { ChunkLifetime } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Candidate, requireValid, reviewToken } from "./candidate.ts";
import type { Chunk } from "./chunk.ts";
import type { DraftSandbox } from "./context.ts";
import {
  announce,
  candidateOf,
  changeablePolicy,
  type Drafts,
  denialsOf,
  findChunk,
  GATEWAY_ACTOR,
  moveChunk,
  refinedBy,
} from "./drafts.ts";
import { LASTING, type Term, termOf } from "./lifetime.ts";
import { difference, sentenceFor } from "./reach.ts";
import { judgeAnswers, type ResolutionVerdict, resolveHosts } from "./resolve.ts";
import { settle, settleAndAnnounce } from "./settle.ts";
import { requireState } from "./state.ts";

/** The revision that an operation led to. */
export interface Revision {
  readonly version: number;
  readonly hash: string;
}

/** An approval as a person gave it. */
export interface Approval {
  readonly chunkId: string;
  /** Empty from clients that know no tokens; else it must name exactly what would be approved now. */
  readonly reviewToken: string;
  readonly actor: string;
}

/**
 * Approves one chunk: looks its hosts up afresh, then in one transaction merges, validates, adds the revision and the history.
 * Pushes the revision to the sandbox and tells watchers before it returns. `committing` runs in that transaction.
 */
export async function approveChunk(
  drafts: Drafts,
  sandbox: DraftSandbox,
  approval: Approval,
  lifetime: ChunkLifetime,
  committing: (revision: Revision) => void = () => {},
): Promise<Revision> {
  settleAndAnnounce(drafts, sandbox.id);
  const chunk = findChunk(drafts, sandbox, approval.chunkId);
  requireState(chunk, "approve");
  const term = termOf(lifetime, chunk);
  changeablePolicy(drafts, sandbox);
  const verdict = await check(drafts, sandbox, chunk);
  if (verdict.refusal) throw refuseApproval(drafts, chunk, verdict.refusal);
  const { revision, sentence } = drafts.context.store.transaction(() => {
    const fresh = unchanged(drafts, chunk);
    const current = changeablePolicy(drafts, sandbox);
    const candidate = candidateOf(drafts, current.policy, fresh);
    requireToken(fresh, candidate, approval.reviewToken);
    requireValid(fresh, candidate);
    const provenance = `approved ${fresh.id} (${fresh.ruleName}) by ${approval.actor}`;
    const committed = drafts.context.policies.commit(sandbox.id, {
      expectedVersion: current.version,
      policy: candidate.policy,
      provenance,
    });
    const words = sentenceFor(difference(current.policy, candidate.policy));
    const versions = { before: current.version, after: committed.version };
    markApproved(drafts, fresh, candidate, { actor: approval.actor, description: words, versions, verdict, term });
    settle(drafts, sandbox.id);
    committing(committed);
    return { revision: committed, sentence: words };
  });
  drafts.context.sessions.pushConfig(sandbox.id);
  announce(drafts, sandbox.id, `approved: ${sentence}`);
  return revision;
}

/** Looks the hosts of a chunk up and judges the answers. The only step that waits; nothing is held while it does. */
export async function check(drafts: Drafts, sandbox: DraftSandbox, chunk: Chunk): Promise<ResolutionVerdict> {
  // As it would be added: what the policy says of the host's addresses already holds for it too.
  const { rule } = candidateOf(drafts, changeablePolicy(drafts, sandbox).policy, chunk);
  const answers = await resolveHosts(rule, drafts.context.resolver);
  return judgeAnswers(rule, answers, {
    trustedCidrs: sandbox.trustedCidrs,
    denials: denialsOf(drafts, chunk),
    sandboxName: sandbox.name,
    chunkId: chunk.id,
  });
}

/** The chunk as it is now, if it is still the one that was checked; someone may have decided or edited it meanwhile. */
export function unchanged(drafts: Drafts, checked: Chunk): Chunk {
  const fresh = drafts.repository.chunk(checked.sandboxId, checked.id);
  if (!fresh) throw new OpenShellError("not_found", `chunk ${checked.id} is gone`);
  requireState(fresh, "approve");
  if (JSON.stringify(fresh.rule) !== JSON.stringify(checked.rule)) {
    throw new OpenShellError("failed_precondition", `chunk ${checked.id} was edited meanwhile`, { next: "look at it again" });
  }
  return fresh;
}

/** Throws `failed_precondition` when a token names another candidate than the one that would be approved now. */
export function requireToken(chunk: Chunk, candidate: Candidate, token: string): void {
  if (token === "" || token === reviewToken(chunk, candidate.hash)) return;
  throw new OpenShellError(
    "failed_precondition",
    `the review_token of chunk ${chunk.id} is stale: the proposal or the policy changed since it was shown`,
    {
      next: "look at it again and approve what you see",
    },
  );
}

/** What the history says of an approval that ends by itself. */
const LASTS = { always: "", session: "until the sandbox stops", once: "for one request" } as const;

/** Writes an approval: the chunk, what it added for an exact undo, and the end of the chunk that it refines. */
export function markApproved(
  drafts: Drafts,
  chunk: Chunk,
  candidate: Pick<Candidate, "key" | "rule">,
  facts: {
    actor: string;
    description: string;
    versions: { before: number; after: number };
    verdict: ResolutionVerdict;
    term?: Term;
  },
): void {
  const now = drafts.context.clock.now();
  const { actor, description, versions, verdict, term = LASTING } = facts;
  const unresolved = verdict.unresolved.length > 0 ? `no address for the gateway: ${verdict.unresolved.join(", ")}` : "";
  moveChunk(
    drafts,
    chunk,
    {
      status: "approved",
      decidedTime: now,
      applicationError: "",
      dnsNote: verdict.note,
      applied: { key: candidate.key, rule: candidate.rule },
      ...term,
    },
    {
      eventType: "approved",
      actor,
      description,
      versions,
      reason: [LASTS[term.lifetime], verdict.note, unresolved].filter((text) => text !== "").join("; "),
    },
  );
  const refined = refinedBy(drafts, chunk);
  if (!refined) return;
  const step = { eventType: "superseded", actor: GATEWAY_ACTOR, versions, description: `refined by chunk ${chunk.id}` };
  moveChunk(drafts, refined, { status: "superseded", decidedTime: now, applied: undefined }, step);
}

/** Remembers with the chunk why an approval was refused, so that whoever looks next sees it. */
export function refuseApproval(drafts: Drafts, chunk: Chunk, refusal: { message: string; next: string }): OpenShellError {
  drafts.repository.update(chunk, { applicationError: `${refusal.message}; ${refusal.next}` });
  return new OpenShellError("failed_precondition", refusal.message, { next: refusal.next });
}
