import { expect, test } from "bun:test";
import { emptyEndpoint, emptyRequestRule } from "../policy/defaults.ts";
import { Dice } from "../policy/dice.test-support.ts";
import type { Policy, RequestRule } from "../policy/model.ts";
import { pathPatternProblem, textPatternProblem } from "../policy/request-patterns.ts";
import { engineData } from "./engine-data.ts";
import { INDEX_PAGES, RegoInstance } from "./rego.ts";

/** Rule `p<i>` holds the i-th pattern. */
function unsupported(patterns: readonly string[], rule: (pattern: string) => Partial<RequestRule>): Set<string> {
  const rules = patterns.map((pattern, i) => [`p${i}`, { ...emptyRequestRule, ...rule(pattern) }] as const);
  const policy: Policy = {
    version: 1,
    networkPolicies: Object.fromEntries(
      rules.map(([key, one]) => [
        key,
        { name: key, binaries: [], endpoints: [{ ...emptyEndpoint, host: "a.b.c", ports: [1], protocol: "rest", rules: [one] }] },
      ]),
    ),
  };
  const instance = new RegoInstance(INDEX_PAGES);
  instance.setData(JSON.stringify(engineData(policy)));
  const { unsupported } = instance.evaluate("openshell/index", "{}") as { unsupported: { rule: string; pattern: string }[] };
  return new Set(unsupported.map(({ rule }) => patterns[Number(rule.slice(1))]!));
}

const words = (dice: Dice, letters: readonly string[]) => [
  ...new Set(Array.from({ length: 600 }, () => dice.some(8, () => dice.pick(letters)).join(""))),
];

test("validation and the rules refuse the same patterns for values", () => {
  const patterns = words(new Dice(11), ["a", "b", "z", "é", "*", "*", "[", "]", "-", "!", "?", "{", "^", "\\", "[a-z]"]);
  const refused = unsupported(patterns, (glob) => ({ query: { q: { glob } } }));
  expect(patterns.filter((pattern) => refused.has(pattern) !== (textPatternProblem(pattern) !== undefined))).toEqual([]);
  expect(refused.size).toBeGreaterThan(50);
  expect(refused.size).toBeLessThan(patterns.length - 50);
});

test("validation and the rules refuse the same path patterns", () => {
  const patterns = words(new Dice(12), ["/", "/", "a", "*", "**", "/**/", "/**", "?", "[", "\\"]).map((word) => `/${word}`);
  const refused = unsupported(patterns, (path) => ({ path }));
  expect(patterns.filter((pattern) => refused.has(pattern) !== (pathPatternProblem(pattern) !== undefined))).toEqual([]);
  expect(refused.size).toBeGreaterThan(50);
  expect(refused.size).toBeLessThan(patterns.length - 50);
});
