import { fieldPath, type Path } from "./field-path.ts";
import { endpointText, stable } from "./hash.ts";
import type { NetworkRule, Policy } from "./model.ts";
import { authoredEndpoint, authoredRule, toAuthored } from "./to-authored.ts";

/** One difference, in the words of the policy file. Exactly one of `before` and `after` is missing when something was added or removed. */
export interface PolicyChange {
  readonly kind: "added" | "removed" | "changed";
  /** `network_policies.github.binaries`; list elements are named by their list. */
  readonly field: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Every difference in meaning, in the order of the file; empty exactly when the policies have the same hash. */
export function diffPolicies(old: Policy, next: Policy): PolicyChange[] {
  const changes: PolicyChange[] = [];
  const [before, after] = [toAuthored(old), toAuthored(next)];
  for (const section of ["version", "filesystem_policy", "landlock", "process"] as const) {
    changes.push(...difference([section], before[section], after[section]));
  }
  const keys = new Set([...Object.keys(old.networkPolicies), ...Object.keys(next.networkPolicies)]);
  for (const key of [...keys].sort()) changes.push(...ruleChanges(key, ruleOf(old, key), ruleOf(next, key)));
  return changes;
}

function* ruleChanges(key: string, old: NetworkRule | undefined, next: NetworkRule | undefined): Generator<PolicyChange> {
  const at: Path = ["network_policies", key];
  if (old === undefined || next === undefined) {
    yield* difference(at, old && authoredRule(old, key), next && authoredRule(next, key));
    return;
  }
  yield* difference([...at, "name"], old.name, next.name);
  yield* listChanges([...at, "endpoints"], old.endpoints, next.endpoints, endpointText, authoredEndpoint);
  yield* listChanges([...at, "binaries"], old.binaries, next.binaries, stable, ({ path, selfOnly }) => ({
    path,
    ...(selfOnly && { self_only: true }),
  }));
}

/** Elements are compared as wholes; when only their order differs, that is one change of the list (positions are part of an endpoint's id). */
function* listChanges<T>(
  at: Path,
  old: readonly T[],
  next: readonly T[],
  text: (item: T) => string,
  show: (item: T) => unknown,
): Generator<PolicyChange> {
  const [before, after] = [old.map(text), next.map(text)];
  const field = fieldPath(at);
  let same = true;
  for (const [i, item] of old.entries()) {
    if (after.includes(before[i] ?? "")) continue;
    same = false;
    yield { kind: "removed", field, before: show(item) };
  }
  for (const [i, item] of next.entries()) {
    if (before.includes(after[i] ?? "")) continue;
    same = false;
    yield { kind: "added", field, after: show(item) };
  }
  if (same && stable(before) !== stable(after)) yield { kind: "changed", field, before: old.map(show), after: next.map(show) };
}

function* difference(at: Path, before: unknown, after: unknown): Generator<PolicyChange> {
  const field = fieldPath(at);
  if (before === undefined && after === undefined) return;
  if (before === undefined) yield { kind: "added", field, after };
  else if (after === undefined) yield { kind: "removed", field, before };
  else if (stable(before) !== stable(after)) yield { kind: "changed", field, before, after };
}

function ruleOf(policy: Policy, key: string): NetworkRule | undefined {
  return Object.hasOwn(policy.networkPolicies, key) ? policy.networkPolicies[key] : undefined;
}
