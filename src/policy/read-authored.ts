import * as v from "valibot";
import type { Violation } from "../error.ts";
import { type AuthoredPolicy, authoredPolicy } from "./authored.ts";
import { fieldPath, type Path } from "./field-path.ts";
import { MAX_VIOLATIONS } from "./limits.ts";

/** Characters of a wrong value that a message shows. */
const SHOWN = 60;

/** What could be read, and everything that could not. */
export interface ReadResult {
  readonly policy: AuthoredPolicy;
  readonly violations: readonly Violation[];
  /** Places that were left out because of a violation; what is checked later should not complain about their absence. */
  readonly pruned: readonly string[];
}

/** Checks the types of an authored policy. Wrong values are taken out and the rest is read again, so that one run reports everything. */
export function readAuthored(value: unknown): ReadResult {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { policy: {}, violations: [{ field: "document", message: `expected a mapping, got ${describeInput(value)}` }], pruned: [""] };
  }
  const draft: unknown = structuredClone(value);
  const violations: Violation[] = [];
  const pruned: string[] = [];
  while (violations.length < MAX_VIOLATIONS) {
    const read = v.safeParse(authoredPolicy, draft);
    if (read.success) return { policy: read.output, violations, pruned };
    const paths = read.issues.map((issue) => (issue.path ?? []).map((item) => item.key as string | number));
    for (const [i, issue] of read.issues.entries()) {
      const path = paths[i] ?? [];
      const field = fieldPath(path) || "document";
      if (!violations.some((known) => known.field === field)) violations.push({ field, message: describe(issue) });
    }
    for (const [i, path] of paths.entries()) {
      const gone = prune(draft, path);
      if (gone === undefined) return { policy: {}, violations, pruned: [""] };
      if (!isUnknownKey(read.issues[i])) pruned.push(fieldPath(gone));
    }
  }
  return { policy: {}, violations, pruned: [""] };
}

/** Takes the value at `path` out, or the whole list when it is an element: positions of its neighbours must not move. */
function prune(root: unknown, path: Path): Path | undefined {
  const end = path.findLastIndex((part) => typeof part === "string");
  if (end < 0) return undefined;
  let parent: unknown = root;
  for (const part of path.slice(0, end)) {
    if (typeof parent !== "object" || parent === null) return path.slice(0, end + 1);
    parent = (parent as Record<string | number, unknown>)[part];
  }
  if (typeof parent === "object" && parent !== null) delete (parent as Record<string | number, unknown>)[path[end] as string | number];
  return path.slice(0, end + 1);
}

function isUnknownKey(issue: v.BaseIssue<unknown> | undefined): boolean {
  return issue?.type === "strict_object" && issue.expected === "never";
}

function describe(issue: v.BaseIssue<unknown>): string {
  if (isUnknownKey(issue)) return "unknown key";
  const { input } = issue;
  if (issue.type === "min_length" || issue.type === "union") return issue.message;
  return `expected ${words(issue.expected)}, got ${describeInput(input)}`;
}

function describeInput(input: unknown): string {
  if (input === null) return "nothing";
  if (typeof input === "string") return JSON.stringify(input.length > SHOWN ? `${input.slice(0, SHOWN)}…` : input);
  if (Array.isArray(input)) return "a list";
  return typeof input === "object" ? "a mapping" : String(input);
}

const NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  boolean: "true or false",
  Object: "a mapping",
  Array: "a list",
  unknown: "a mapping",
  ">=0": "a number of at least 0",
  ">=1": "a number of at least 1",
  "<=4294967295": "a number of at most 4294967295",
};

function words(expected: string | null): string {
  if (expected === null) return "a whole number";
  return NAMES[expected] ?? expected.replace(/^\(|\)$/g, "").replaceAll(" | ", " or ");
}
