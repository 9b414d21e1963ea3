import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { Dice } from "../policy/dice.test-support.ts";
import { hostCovers, hostsMeet, pathCovers, pathsMeet } from "../policy/patterns.ts";
import { type Comparison, compareInProcesses, compareRandomPolicies, FIRST_SEED } from "./differential.test-support.ts";
import { PolicyEngine } from "./policy-engine.ts";
import { randomPolicy } from "./reference.test-support.ts";

/** A hang guard, not a speed test. */
const WITHIN = 60 * 60_000;

test(
  "the rules in wasm and a slow second implementation agree on 10⁵ random questions",
  () => expectAgreement(compareRandomPolicies(FIRST_SEED, 200, 500)),
  WITHIN,
);

/** About nine minutes of processor time. */
test.skipIf(!process.env["LONG_TESTS"])(
  "they agree on 10⁵ random policies, 50 questions about each",
  async () => expectAgreement(await compareInProcesses(availableParallelism(), 100_000, 50)),
  WITHIN,
);

function expectAgreement({ asked, allowed, difference }: Comparison): void {
  expect(difference).toBeUndefined();
  // The comparison means something only when both answers are common.
  expect(allowed).toBeGreaterThan(asked / 20);
  expect(allowed).toBeLessThan((asked * 19) / 20);
}

/** Host patterns and names over few letters, so that the relations between patterns can be counted out with the engine as judge. */
const HOST_PATTERNS = [
  "*.b.c",
  "**.b.c",
  "a*.b.c",
  "*a.b.c",
  "a*a.b.c",
  "a.*.b.c",
  "**.*.b.c",
  "a.b.c",
  "aa.b.c",
  "a.a.b.c",
  "*.a.b.c",
  "b.c",
];
const NAMES = [
  "b.c",
  "a.b.c",
  "aa.b.c",
  "ab.b.c",
  "ba.b.c",
  "aba.b.c",
  "a.a.b.c",
  "aa.a.b.c",
  "a.b.b.c",
  "b.a.b.c",
  "a.a.a.b.c",
  "x.y.b.c",
  "z.b.c",
];
const PATH_PATTERNS = ["/**", "/a", "/a/b", "/a/*", "/*/b", "/a*/b", "/*a/b", "/**/b", "/a/**", "/a/**/b", "/a/b/c", "/*", "/a*a/b"];
const PATHS = ["/a", "/b", "/a/b", "/a/c", "/aa/b", "/ba/b", "/aba/b", "/a/b/c", "/a/x/b", "/a/x/y/b", "/x/b", "/c/d/e"];

const rule = (host: string, path: string) => ({
  version: 1,
  networkPolicies: { r: { name: "r", endpoints: [{ ...base, host }], binaries: [{ path, selfOnly: true }] } },
});
const base = randomEndpoint();

function randomEndpoint() {
  const dice = new Dice(7);
  for (;;) {
    const endpoint = Object.values(randomPolicy(dice).networkPolicies)[0]?.endpoints[0];
    if (endpoint !== undefined) return { ...endpoint, ports: [443] };
  }
}

function matches(
  patterns: readonly string[],
  words: readonly string[],
  load: (pattern: string) => ReturnType<typeof rule>,
  kind: "host" | "exe",
) {
  return new Map(
    patterns.map((pattern) => {
      const engine = new PolicyEngine();
      engine.load(load(pattern));
      const ask = (word: string) => engine.decide({ host: "a.b.c", exe: "/a", [kind]: word, port: 443, ancestors: [] } as never);
      return [pattern, new Set(words.filter((word) => ask(word).allowed))] as const;
    }),
  );
}

test.each([
  ["host", HOST_PATTERNS, matches(HOST_PATTERNS, NAMES, (host) => rule(host, "/a"), "host"), hostsMeet, hostCovers],
  ["path", PATH_PATTERNS, matches(PATH_PATTERNS, PATHS, (path) => rule("a.b.c", path), "exe"), pathsMeet, pathCovers],
] as const)("%s patterns: what meets or covers is what the rules match", (_, patterns, matched, meet, cover) => {
  for (const a of patterns) {
    for (const b of patterns) {
      const [left, right] = [matched.get(a)!, matched.get(b)!];
      const common = [...left].some((word) => right.has(word));
      // The words hold a witness for every pair that has one.
      expect(`${a} ${b} ${meet(a, b)}`).toBe(`${a} ${b} ${common}`);
      if (cover(a, b)) expect([...right].filter((word) => !left.has(word))).toEqual([]);
    }
  }
});
