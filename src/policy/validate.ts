import { OpenShellError, type Violation } from "../error.ts";
import { ambiguities } from "./ambiguity.ts";
import { POLICY_VERSION } from "./defaults.ts";
import { fieldPath } from "./field-path.ts";
import { MAX_RULE_KEY_BYTES, MAX_VIOLATIONS, PROVIDER_RULE_PREFIX } from "./limits.ts";
import type { NetworkRule, Policy } from "./model.ts";
import { validateBinary } from "./validate-binary.ts";
import { validateEndpoint } from "./validate-endpoint.ts";
import { validateFilesystem } from "./validate-filesystem.ts";
import { validateProcess } from "./validate-process.ts";

export interface ValidationOptions {
  /** The policy comes from a person: what only the gateway may derive (provider rules, proposal marks) is refused. */
  readonly authored?: boolean;
  /** `process` may name accounts of this host: `sandbox run` without a gateway runs where they mean something. */
  readonly accounts?: boolean;
}

/**
 * Everything that makes a policy unacceptable, in the order of the file (rules 1–14 and 16 of the policy reference). Gateway, supervisor and
 * command line call this same function: what one accepts, all accept.
 */
export function validatePolicy(policy: Policy, options: ValidationOptions = {}): Violation[] {
  const violations = atMost(MAX_VIOLATIONS, validateParts(policy, options));
  // Patterns must be sound before it makes sense to ask whether they meet.
  return violations.length > 0 ? violations : atMost(MAX_VIOLATIONS, ambiguities(policy));
}

function* validateParts(policy: Policy, options: ValidationOptions): Generator<Violation> {
  if (policy.version !== POLICY_VERSION) yield { field: "version", message: `is ${policy.version}, only ${POLICY_VERSION} is known` };
  if (policy.filesystem) yield* validateFilesystem(policy.filesystem);
  const landlock = policy.landlock?.compatibility ?? "hard_requirement";
  if (landlock !== "best_effort" && landlock !== "hard_requirement") {
    yield { field: "landlock.compatibility", message: 'expected "best_effort" or "hard_requirement"' };
  }
  if (policy.process) yield* validateProcess(policy.process, options.accounts);
  for (const [key, rule] of Object.entries(policy.networkPolicies)) yield* validateRule(key, rule, options);
}

/** A policy of the accepted size can have far more conflicts than anyone reads; they are not even looked for. */
function atMost<T>(limit: number, items: Iterable<T>): T[] {
  const taken: T[] = [];
  for (const item of items) {
    if (taken.push(item) === limit) break;
  }
  return taken;
}

/** @throws OpenShellError `invalid_argument` with all violations when the policy has any. */
export function requireValidPolicy(policy: Policy, options: ValidationOptions = {}): void {
  const violations = validatePolicy(policy, options);
  const [first] = violations;
  if (first === undefined) return;
  const rest = violations.length === 1 ? "" : ` (and ${violations.length - 1} more)`;
  throw new OpenShellError("invalid_argument", `${first.field}: ${first.message}${rest}`, {
    next: "correct the policy; docs/policy.md lists every field",
    violations,
  });
}

/** Line breaks, control characters and invisible marks would let a name pass for something else in a log line or a terminal. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

function* validateRule(key: string, rule: NetworkRule, { authored = false }: ValidationOptions): Generator<Violation> {
  const field = fieldPath(["network_policies", key]);
  if (key === "") yield { field, message: "has an empty key" };
  const bytes = new TextEncoder().encode(key).length;
  if (bytes > MAX_RULE_KEY_BYTES) yield { field, message: `has a key of ${bytes} bytes, at most ${MAX_RULE_KEY_BYTES} are accepted` };
  if (UNPRINTABLE.test(key)) yield { field, message: "has a key with control or invisible characters" };
  if (UNPRINTABLE.test(rule.name)) yield { field: `${field}.name`, message: "has control or invisible characters" };
  if (authored && key.startsWith(PROVIDER_RULE_PREFIX)) {
    yield {
      field,
      message: `has a reserved key: the prefix ${PROVIDER_RULE_PREFIX} belongs to rules that the gateway derives from providers`,
    };
  }
  for (const [i, endpoint] of rule.endpoints.entries()) {
    yield* validateEndpoint(endpoint, ["network_policies", key, "endpoints", i]);
    if (authored && (endpoint.advisorProposed || endpoint.providerCredentialed)) {
      yield { field: `${field}.endpoints[${i}]`, message: "carries marks that only the gateway may set" };
    }
  }
  for (const [i, binary] of rule.binaries.entries()) yield* validateBinary(binary, ["network_policies", key, "binaries", i]);
}
