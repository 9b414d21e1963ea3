import { OpenShellError } from "../../../error.ts";
import { check, markApproved, type Revision, requireToken, unchanged } from "./approve.ts";
import { requireValid } from "./candidate.ts";
import type { Chunk } from "./chunk.ts";
import type { DraftSandbox } from "./context.ts";
import { announce, candidateOf, changeablePolicy, type Drafts, denialsOf, findChunk } from "./drafts.ts";
import { flagsOf } from "./flags.ts";
import { difference, sentenceFor } from "./reach.ts";
import type { ResolutionVerdict } from "./resolve.ts";
import { settle, settleAndAnnounce } from "./settle.ts";

/** What `approve --all` asks for. */
export interface BulkApproval {
  /** The chunks that the person saw, with their tokens; empty = every pending chunk. */
  readonly approvals: readonly { readonly chunkId: string; readonly reviewToken: string }[];
  readonly includeFlagged: boolean;
  readonly actor: string;
}

export interface BulkResult {
  /** The current revision, when nothing was approved. */
  readonly revision: Revision;
  readonly approved: number;
  readonly skipped: readonly { readonly chunkId: string; readonly reason: string }[];
}

interface Checked {
  readonly chunk: Chunk;
  readonly verdict: ResolutionVerdict;
}

/**
 * Approves every chunk that carries no security note, in one revision. What is left out is named with its reason; tokens
 * are checked against the policy before the first merge, for that is what the person saw. `committing` runs in the transaction.
 */
export async function approveAll(
  drafts: Drafts,
  sandbox: DraftSandbox,
  request: BulkApproval,
  committing: (result: BulkResult) => void = () => {},
): Promise<BulkResult> {
  settleAndAnnounce(drafts, sandbox.id);
  const before = changeablePolicy(drafts, sandbox);
  const wanted = select(drafts, sandbox, request);
  const skipped: { chunkId: string; reason: string }[] = [];
  const checked: Checked[] = [];
  for (const chunk of wanted) {
    const reason = reasonToSkip(drafts, chunk, before.policy, request.includeFlagged);
    const verdict = reason === undefined ? await check(drafts, sandbox, chunk) : undefined;
    if (verdict && !verdict.refusal) checked.push({ chunk, verdict });
    else skipped.push({ chunkId: chunk.id, reason: reason ?? verdict?.refusal?.message ?? "" });
  }
  if (checked.length === 0) return { revision: before, approved: 0, skipped };
  const result = drafts.context.store.transaction(() => {
    const committed = commitAll(drafts, sandbox, request, checked, skipped);
    committing(committed);
    return committed;
  });
  if (result.approved > 0) {
    drafts.context.sessions.pushConfig(sandbox.id);
    announce(drafts, sandbox.id, `${result.approved} proposals approved`);
  }
  return result;
}

function select(drafts: Drafts, sandbox: DraftSandbox, { approvals }: BulkApproval): Chunk[] {
  const pending = drafts.repository.pending(sandbox.id);
  if (pending.length === 0) throw new OpenShellError("failed_precondition", "no pending chunks to approve");
  if (approvals.length === 0) return pending;
  const named = new Set(approvals.map(({ chunkId }) => findChunk(drafts, sandbox, chunkId).id));
  return pending.filter(({ id }) => named.has(id));
}

function reasonToSkip(drafts: Drafts, chunk: Chunk, policy: Parameters<typeof difference>[0], includeFlagged: boolean): string | undefined {
  if (chunk.analysisMode === "agent_authored") return "the agent wrote it itself: approve it by its id";
  if (includeFlagged) return undefined;
  const credentialed = drafts.context.credentialedHosts?.(chunk.sandboxId) ?? [];
  const flags = flagsOf(chunk, { denials: denialsOf(drafts, chunk), policy, credentialed });
  return flags.length > 0 ? `flagged: ${flags.map(({ code }) => code).join(", ")}` : undefined;
}

function commitAll(
  drafts: Drafts,
  sandbox: DraftSandbox,
  request: BulkApproval,
  checked: readonly Checked[],
  skippedBefore: readonly { chunkId: string; reason: string }[],
): BulkResult {
  const current = changeablePolicy(drafts, sandbox);
  const tokens = new Map(request.approvals.map(({ chunkId, reviewToken }) => [findChunk(drafts, sandbox, chunkId).id, reviewToken]));
  const skipped = [...skippedBefore];
  const applied: { checked: Checked; key: string; rule: Chunk["rule"]; sentence: string }[] = [];
  let policy = current.policy;
  for (const entry of checked) {
    try {
      const fresh = unchanged(drafts, entry.chunk);
      requireToken(fresh, candidateOf(drafts, current.policy, fresh), tokens.get(fresh.id) ?? "");
      // Names were looked up meanwhile: what is to be flagged may have changed.
      const flagged = reasonToSkip(drafts, fresh, current.policy, request.includeFlagged);
      if (flagged !== undefined) {
        skipped.push({ chunkId: fresh.id, reason: flagged });
        continue;
      }
      const candidate = candidateOf(drafts, policy, fresh);
      requireValid(fresh, candidate);
      applied.push({
        checked: entry,
        key: candidate.key,
        rule: candidate.rule,
        sentence: sentenceFor(difference(policy, candidate.policy)),
      });
      policy = candidate.policy;
    } catch (error) {
      if (!(error instanceof OpenShellError) || error.code === "internal") throw error;
      skipped.push({ chunkId: entry.chunk.id, reason: error.message });
    }
  }
  if (applied.length === 0) return { revision: current, approved: 0, skipped };
  const provenance = `approved ${applied.length} proposals by ${request.actor}`;
  const revision = drafts.context.policies.commit(sandbox.id, { expectedVersion: current.version, policy, provenance });
  const versions = { before: current.version, after: revision.version };
  for (const { checked: entry, key, rule, sentence } of applied) {
    markApproved(drafts, entry.chunk, { key, rule }, { actor: request.actor, description: sentence, versions, verdict: entry.verdict });
  }
  settle(drafts, sandbox.id);
  return { revision, approved: applied.length, skipped };
}
