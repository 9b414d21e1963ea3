import { stringify } from "yaml";
import { OpenShellError, type Violation } from "../error.ts";
import { fromAuthored } from "./from-authored.ts";
import { MAX_POLICY_BYTES, MAX_VIOLATIONS } from "./limits.ts";
import type { Policy } from "./model.ts";
import { readAuthored } from "./read-authored.ts";
import { toAuthored } from "./to-authored.ts";
import { validatePolicy } from "./validate.ts";
import { readYaml } from "./yaml-source.ts";

export interface YamlOptions {
  /** Where the text comes from, for messages: a file name, or `the policy of sandbox x`. */
  readonly source: string;
  /** See {@link ValidationOptions.accounts}. */
  readonly accounts?: boolean;
}

/**
 * Reads and validates an authored policy. Nothing is tolerated: unknown keys, duplicate keys, wrong types and every rule of `validatePolicy` are
 * reported together, each with field, line and column.
 * @throws OpenShellError `invalid_argument` with all violations (at most {@link MAX_VIOLATIONS}).
 */
export function parsePolicyYaml(text: string, { source, accounts = false }: YamlOptions): Policy {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_POLICY_BYTES) {
    throw refused(source, [
      { field: "document", message: `is ${bytes} bytes, at most ${MAX_POLICY_BYTES} are accepted`, line: 1, column: 1 },
    ]);
  }
  if (!text.isWellFormed() || text.includes("\0")) {
    throw refused(source, [{ field: "document", message: "is not UTF-8 text", line: 1, column: 1 }]);
  }
  const yaml = readYaml(text);
  if (Array.isArray(yaml)) throw refused(source, yaml);
  const { policy: authored, violations: types, pruned } = readAuthored(yaml.value);
  const violations: Violation[] = [...types];
  const policy = fromAuthored(authored, (field, message) => violations.push({ field, message }));
  const silenced = pruned.map(surroundings);
  for (const violation of [...violations.splice(types.length), ...validatePolicy(policy, { authored: true, accounts })]) {
    if (!silenced.some((place) => within(violation.field, place))) violations.push(violation);
  }
  if (violations.length > 0) {
    throw refused(
      source,
      violations.map((violation) => ({ ...violation, ...yaml.locate(violation.field) })),
    );
  }
  return policy;
}

/** The policy as YAML that reads back to the same model: defaults left out, maps sorted by key. */
export function formatPolicyYaml(policy: Policy): string {
  return stringify(toAuthored(policy), { lineWidth: 0, aliasDuplicateObjects: false });
}

/** A violation as editors and people expect it: `policy.yaml:12:5: network_policies.a.endpoints[0].port: …`. */
export function formatViolation({ field, message, line, column }: Violation, source: string): string {
  return `${source}${line === undefined ? "" : `:${line}:${column ?? 1}`}: ${field === "document" ? "" : `${field}: `}${message}`;
}

/** When a value was unreadable, what is missing around it is a consequence: the object that holds it is not checked further. */
function surroundings(field: string): string {
  return field.replace(/(\.[^.[\]]*|\[[^[\]]*\])$/, "");
}

function within(field: string, place: string): boolean {
  return place === "" || field === place || field.startsWith(`${place}.`) || field.startsWith(`${place}[`);
}

function refused(source: string, all: readonly Violation[]): OpenShellError {
  const violations = [...all].sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)).slice(0, MAX_VIOLATIONS);
  const [first] = violations;
  const others = all.length - 1;
  const rest = others === 0 ? "" : ` (and ${others} more)`;
  return new OpenShellError(
    "invalid_argument",
    first === undefined ? `${source} is not a valid policy` : formatViolation(first, source) + rest,
    {
      next: "correct the policy; docs/policy.md lists every field",
      violations,
    },
  );
}
