import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../error.ts";
import { Dice } from "./dice.test-support.ts";
import { policyHash } from "./hash.ts";
import { policyFromProto, policyToProto } from "./proto.ts";
import { policyWarnings } from "./warnings.ts";
import { formatPolicyYaml, parsePolicyYaml } from "./yaml.ts";

const FOLDER = join(import.meta.dir, "../../test/fixtures/policy");
const SEEDS = readdirSync(FOLDER).map((name) => readFileSync(join(FOLDER, name), "utf8").split(/^=== /m)[0] ?? "");
const WORDS = [
  "*",
  "**",
  "{",
  "}",
  "[",
  "]",
  ":",
  "- ",
  "&a",
  "*a",
  "!!set",
  "null",
  "~",
  "''",
  "0",
  "-1",
  "1e99",
  ".nan",
  "\u202e",
  "\n",
  "  ",
  "#",
  "%",
  "any: [x]",
];

test("mutated policies are read or refused, never anything else, and what is read survives both forms", () => {
  const dice = new Dice(99);
  let accepted = 0;
  for (let n = 0; n < (process.env["LONG_TESTS"] ? 200_000 : 3_000); n++) {
    const text = mutate(dice, dice.pick(SEEDS));
    try {
      const policy = parsePolicyYaml(text, { source: "fuzz" });
      accepted++;
      policyWarnings(policy);
      expect(policyHash(parsePolicyYaml(formatPolicyYaml(policy), { source: "again" }))).toBe(policyHash(policy));
      expect(policyFromProto(policyToProto(policy))).toEqual(policy);
    } catch (error) {
      if (!(error instanceof OpenShellError && error.code === "invalid_argument" && error.violations.length > 0))
        throw new Error(`on ${JSON.stringify(text)}`, { cause: error });
    }
  }
  expect(accepted).toBeGreaterThan(0);
}, 1_800_000);

function mutate(dice: Dice, seed: string): string {
  let text = seed;
  for (let i = 0; i <= dice.below(3); i++) {
    const at = dice.below(text.length + 1);
    const end = at + dice.below(8);
    const kind = dice.below(4);
    if (kind === 0) text = text.slice(0, at) + text.slice(end);
    else if (kind === 1) text = text.slice(0, at) + dice.pick(WORDS) + text.slice(at);
    else if (kind === 2) text = text.slice(0, at) + dice.pick(WORDS) + text.slice(end);
    else text = text.slice(0, at) + text.slice(dice.below(text.length + 1), end) + text.slice(at);
  }
  return text;
}
