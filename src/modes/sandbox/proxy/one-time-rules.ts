import type { Policy } from "../../../policy/model.ts";

/** A rule that a person allowed for one request. */
export interface OneTimeRule {
  /** Its key in the policy. */
  readonly rule: string;
  /** Of this approval; another approval of the same rule has another. */
  readonly grantId: string;
}

/**
 * What lets something through: rules that last; a rule for one request, which this was (it may go on although no rule allows it any more);
 * or only rules that have had their request since it was decided.
 */
export type Hold = "lasting" | "used" | "gone";

/** Takes one-time rules out of force when their request comes. */
export interface OneTimeUse {
  /**
   * To be called in the turn in which a request or connection is let through, with the keys of all rules that allow it. When all of them
   * hold for one request, the first is spent. Throws when it could not be taken out of force; then nothing may pass.
   */
  use(rules: readonly string[]): Hold;
}

/** Nothing holds for one request only. */
export const NO_ONE_TIME_RULES: OneTimeUse = { use: () => "lasting" };

/** Keeps which rules hold for one request, and which of those have had theirs, for as long as the sandbox lives. */
export class OneTimeRules implements OneTimeUse {
  /** Grants that have had their request. */
  readonly #spent = new Set<string>();
  /** Rule to grant. */
  #open = new Map<string, string>();
  /** Rules taken out of force since the policy was last replaced. */
  readonly #gone = new Set<string>();
  readonly #withdraw: (rule: string, grantId: string) => void;

  /** `withdraw`: takes a rule out of force at once, before it returns. */
  constructor(withdraw: (rule: string, grantId: string) => void) {
    this.#withdraw = withdraw;
  }

  /** From now on these hold for one request each, and no others. */
  admit(rules: readonly OneTimeRule[]): void {
    this.#open = new Map(rules.filter(({ grantId }) => !this.#spent.has(grantId)).map(({ rule, grantId }) => [rule, grantId]));
    this.#gone.clear();
  }

  /** The policy without the rules that have had their request: whoever sent it may not know yet. */
  without(policy: Policy, rules: readonly OneTimeRule[]): Policy {
    return rules.filter(({ grantId }) => this.#spent.has(grantId)).reduce((rest, { rule }) => withoutRule(rest, rule), policy);
  }

  use(rules: readonly string[]): Hold {
    if (rules.some((key) => !this.#open.has(key) && !this.#gone.has(key))) return "lasting";
    const rule = rules.find((key) => this.#open.has(key));
    if (rule === undefined) return rules.length === 0 ? "lasting" : "gone";
    const grantId = this.#open.get(rule) ?? "";
    this.#withdraw(rule, grantId);
    this.#open.delete(rule);
    this.#gone.add(rule);
    this.#spent.add(grantId);
    return "used";
  }
}

/** The policy without one rule. */
export function withoutRule(policy: Policy, rule: string): Policy {
  const { [rule]: _, ...networkPolicies } = policy.networkPolicies;
  return { ...policy, networkPolicies };
}

/** The rules that endpoints belong to, by their ids `<rule>/<index>`; each once. */
export function rulesOf(endpoints: readonly { readonly id: string }[]): string[] {
  return [...new Set(endpoints.map(({ id }) => id.slice(0, id.lastIndexOf("/"))))];
}
