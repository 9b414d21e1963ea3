/** Why a proposal was not taken, as programs read it; each is counted by name. */
export type RefusalCode =
  | "bad_schema"
  | "over_limit"
  | "not_additive"
  | "field_not_allowed"
  | "pattern_character"
  | "not_printable"
  | "blocked_name"
  | "blocked_address"
  | "cloud_metadata"
  | "gateway_endpoint"
  | "control_port"
  | "own_executable"
  | "untrusted_range"
  | "credentialed_host"
  | "unknown_supersedes"
  | "no_denial"
  | "wider_than_denied"
  | "no_policy"
  | "already_covered"
  | "backed_off"
  | "cap_reached"
  | "overlaps"
  | "conflict"
  | "advisor_off";

/** A proposal that was not taken, with a sentence for whoever made it. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly reason: string;
}

/** Shorthand for the many places that refuse. */
export function refuse(code: RefusalCode, reason: string): Refusal {
  return { code, reason };
}

/** The first refusal that a list of checks gives, in their order. */
export function firstRefusal(checks: readonly (() => Refusal | undefined)[]): Refusal | undefined {
  for (const check of checks) {
    const refusal = check();
    if (refusal) return refusal;
  }
  return undefined;
}
