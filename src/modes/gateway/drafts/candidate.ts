import { createHash } from "node:crypto";
import { OpenShellError } from "../../../error.ts";
import { withExistingSettings } from "../../../policy/adopt.ts";
import { policyHash } from "../../../policy/hash.ts";
import { addProposedRule, freeKey, removeAddedRule, withRules } from "../../../policy/merge.ts";
import type { NetworkRule, Policy } from "../../../policy/model.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import type { Chunk } from "./chunk.ts";

/** The policy as it would be after an approval. */
export interface Candidate {
  readonly policy: Policy;
  readonly hash: string;
  /** Key under which the chunk's rule is in it. */
  readonly key: string;
  /** That rule as it was added. */
  readonly rule: NetworkRule;
}

/**
 * Merges a chunk into a policy. `refined` is the approved chunk that it supersedes: its rule goes in the same step.
 * Existing rules are never touched otherwise (threat 14). Where the same program already has an inspected endpoint on that host and port, the
 * proposal takes over how it is inspected: a connection is treated in one way. `ancestors`: of the program, for rules about a family.
 */
export function candidateFor(policy: Policy, chunk: Chunk, refined: Chunk | undefined, ancestors: readonly string[] = []): Candidate {
  const base = refined?.applied ? removeAddedRule(policy, refined.applied.key, refined.applied.rule) : policy;
  const merged = chunk.edited
    ? addEditedRule(base, chunk)
    : addProposedRule(base, chunk.ruleName, withExistingSettings(base, chunk.rule, ancestors));
  return {
    policy: merged.policy,
    hash: policyHash(merged.policy),
    key: merged.key,
    rule: merged.policy.networkPolicies[merged.key] ?? chunk.rule,
  };
}

/** A person may have written patterns, which no proposal may hold; apart from that nothing differs. */
function addEditedRule(policy: Policy, chunk: Chunk): { policy: Policy; key: string } {
  const key = freeKey(policy, chunk.ruleName);
  return { policy: withRules(policy, { [key]: { ...chunk.rule, name: key } }), key };
}

/** Throws `failed_precondition` with every violation when a candidate is not a valid policy: conflicts show here. */
export function requireValid(chunk: Chunk, candidate: Candidate): void {
  const violations = validatePolicy(candidate.policy);
  if (violations.length === 0) return;
  const reasons = violations.map(({ field, message }) => `${field}: ${message}`).join("; ");
  throw new OpenShellError("failed_precondition", `the policy would not be valid with chunk ${chunk.id}: ${reasons}`, {
    next: "edit the proposal, or reject it",
    violations,
  });
}

/**
 * Names exactly what a person saw: this chunk with this rule, leading to this policy. Any change to the rule or to the policy
 * gives another token, so an approval can never mean something else than what was on the screen.
 */
export function reviewToken(chunk: Pick<Chunk, "id" | "rule">, candidateHash: string): string {
  const rule = policyHash({ version: 1, networkPolicies: { rule: chunk.rule } });
  return createHash("sha256")
    .update(JSON.stringify(["review", chunk.id, rule, candidateHash]))
    .digest("base64url");
}
