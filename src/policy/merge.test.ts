import { describe, expect, test } from "bun:test";
import { emptyEndpoint } from "./defaults.ts";
import { Dice } from "./dice.test-support.ts";
import { policyHash } from "./hash.ts";
import { addProposedRule, coveredBy, proposalViolations, removeAddedRule } from "./merge.ts";
import type { Binary, Endpoint, NetworkRule, Policy } from "./model.ts";
import { validatePolicy } from "./validate.ts";

const at = (host: string, ...ports: number[]): Endpoint => ({ ...emptyEndpoint, host, ports });
const only = (path: string): Binary => ({ path, selfOnly: true });
const family = (path: string): Binary => ({ path, selfOnly: false });
const rule = (endpoints: Endpoint[], binaries: Binary[], name = "x"): NetworkRule => ({ name, endpoints, binaries });
const policy = (rules: Record<string, NetworkRule>): Policy => ({ version: 1, networkPolicies: rules });

const proposal = rule([at("a.example.com", 443)], [only("/usr/bin/curl")]);

/** Every (rule-independent) grant of a policy of plain endpoints. */
function grants({ networkPolicies }: Policy): Set<string> {
  const all = Object.values(networkPolicies).flatMap(({ endpoints, binaries }) =>
    endpoints.flatMap(({ host, ports }) =>
      ports.flatMap((port) => binaries.map(({ path, selfOnly }) => `${host}:${port} ${path} ${selfOnly}`)),
    ),
  );
  return new Set(all);
}

describe("adding a proposal", () => {
  test("never joins a rule, whatever its name or content", () => {
    const before = policy({ x: rule([at("other.example.com", 443)], [family("/usr/bin/git")]), y: proposal });
    const { policy: after, key } = addProposedRule(before, "x", proposal);
    expect(key).toBe("x_2");
    expect(after.networkPolicies["x"]).toBe(before.networkPolicies["x"]!);
    expect(after.networkPolicies["x_2"]).toEqual({ ...proposal, name: "x_2" });
    expect(addProposedRule(after, "x", proposal).key).toBe("x_3");
  });

  test("threat-04: patterns are refused by name", () => {
    for (const host of ["*.evil.com", "**", "a?.example.com", "[ab].example.com", "{a,b}.example.com"]) {
      expect(() => addProposedRule(policy({}), "x", rule([at(host, 443)], [only("/usr/bin/curl")]))).toThrow("pattern character");
    }
    for (const path of ["/**", "/usr/bin/*", "/usr/bin/[", "/tmp/{a", "/tmp/a?"]) {
      expect(() => addProposedRule(policy({}), "x", rule([at("a.example.com", 443)], [only(path)]))).toThrow("pattern character");
    }
    expect(() => addProposedRule(policy({}), "x", rule([at("a.example.com", 443)], [family("/usr/bin/curl")]))).toThrow("self_only");
    expect(proposalViolations(rule([], []))).toHaveLength(2);
  });

  test("threat-14: after a merge everything allowed was allowed before or is in the proposal", () => {
    const dice = new Dice(41);
    // `LONG_TESTS=1` runs 10⁵ pairs.
    for (let n = 0; n < (process.env["LONG_TESTS"] ? 100_000 : 2_000); n++) {
      const before = randomPlainPolicy(dice);
      const added = randomProposal(dice);
      const { policy: after, key } = addProposedRule(before, dice.pick(KEYS), added);
      const expected = new Set([...grants(before), ...grants(policy({ added }))]);
      expect(grants(after)).toEqual(expected);
      expect(coveredBy(after, added)).toBe(true);
      expect(policyHash(removeAddedRule(after, key, added))).toBe(policyHash(before));
    }
  }, 1_800_000);
});

describe("removing what was added", () => {
  const base = policy({ mine: proposal });

  test("restores the policy, also when others changed since", () => {
    const { policy: after, key } = addProposedRule(base, "x", proposal);
    const edited = policy({ ...after.networkPolicies, later: rule([at("b.example.com", 443)], [family("/usr/bin/git")]) });
    expect(removeAddedRule(edited, key, proposal).networkPolicies).toEqual({ mine: proposal, later: edited.networkPolicies["later"]! });
  });

  test("is no error when the rule is gone", () => {
    expect(removeAddedRule(base, "gone", proposal)).toBe(base);
    expect(removeAddedRule(base, "constructor", proposal)).toBe(base);
  });

  test.each([
    [
      "a binary was added",
      rule([at("a.example.com", 443)], [only("/usr/bin/curl"), only("/usr/bin/wget")]),
      ["a.example.com:443 /usr/bin/wget true"],
    ],
    ["a port was added", rule([at("a.example.com", 443, 8443)], [only("/usr/bin/curl")]), ["a.example.com:8443 /usr/bin/curl true"]],
    [
      "an endpoint was added",
      rule([at("a.example.com", 443), at("b.example.com", 1)], [only("/usr/bin/curl")]),
      ["b.example.com:1 /usr/bin/curl true"],
    ],
    [
      "both were added",
      rule([at("a.example.com", 443), at("b.example.com", 1)], [only("/usr/bin/curl"), only("/usr/bin/wget")]),
      ["b.example.com:1 /usr/bin/curl true", "b.example.com:1 /usr/bin/wget true", "a.example.com:443 /usr/bin/wget true"],
    ],
    ["the binary was widened", rule([at("a.example.com", 443)], [family("/usr/bin/curl")]), []],
    [
      "the endpoint was narrowed",
      rule([{ ...at("a.example.com", 443), protocol: "rest", access: "read-only" }], [only("/usr/bin/curl")]),
      [],
    ],
  ] as [string, NetworkRule, string[]][])("after an edit, when %s", (_, edited, left) => {
    expect(grants(removeAddedRule(policy({ k: edited }), "k", proposal))).toEqual(new Set(left));
  });
});

describe("coverage", () => {
  const covers = (existing: NetworkRule, wanted = proposal) => coveredBy(policy({ r: existing }), wanted);

  test("the same, wider hosts, wider binaries", () => {
    expect(covers(proposal)).toBe(true);
    expect(covers(rule([at("*.example.com", 443, 80)], [family("/usr/bin/*")]))).toBe(true);
    expect(covers(rule([at("a.example.com", 443)], [only("/**")]))).toBe(true);
  });

  test("not when something is missing", () => {
    expect(coveredBy(policy({}), proposal)).toBe(false);
    expect(covers(rule([at("a.example.com", 80)], [family("/usr/bin/curl")]))).toBe(false);
    expect(covers(rule([at("*.b.example.com", 443)], [family("/usr/bin/curl")]))).toBe(false);
    expect(covers(rule([at("a.example.com", 443)], [only("/usr/bin/wget")]))).toBe(false);
    expect(
      covers(rule([at("a.example.com", 443)], [only("/usr/bin/curl")]), rule([at("a.example.com", 443)], [family("/usr/bin/curl")])),
    ).toBe(false);
  });

  test("the treatment counts: inspected, skipped and address-bound endpoints are others", () => {
    const inspected = { ...at("a.example.com", 443), protocol: "rest", access: "full" } as const;
    expect(covers(rule([inspected], [only("/usr/bin/curl")]))).toBe(false);
    expect(covers(rule([inspected], [only("/usr/bin/curl")]), rule([inspected], [only("/usr/bin/curl")]))).toBe(true);
    expect(covers(proposal, rule([inspected], [only("/usr/bin/curl")]))).toBe(true);
    const bound = (...allowedIps: string[]) => rule([{ ...at("a.example.com", 443), allowedIps }], [only("/usr/bin/curl")]);
    expect(covers(bound("10.0.0.0/8"), bound("10.1.2.3/32"))).toBe(true);
    expect(covers(bound("10.0.0.0/16"), bound("10.1.2.3"))).toBe(false);
    expect(covers(bound("10.0.0.0/8"))).toBe(false);
    expect(covers(proposal, bound("10.0.0.1"))).toBe(false);
  });
});

const KEYS = ["a", "b", "a_2", "allow_a_443"];
const HOSTS = ["a.example.com", "b.example.com", "c.example.com"];
const BINARIES = ["/usr/bin/curl", "/usr/bin/git", "/bin/sh"];

function randomRule(dice: Dice, binary: (path: string) => Binary): NetworkRule {
  const endpoints = [at(dice.pick(HOSTS), dice.pick([80, 443])), ...dice.some(1, () => at(dice.pick(HOSTS), 443))];
  return rule(endpoints, [binary(dice.pick(BINARIES)), ...dice.some(1, () => binary(dice.pick(BINARIES)))]);
}

const randomProposal = (dice: Dice) => randomRule(dice, only);

function randomPlainPolicy(dice: Dice): Policy {
  const made = policy(
    Object.fromEntries(dice.some(3, () => [dice.pick(KEYS), randomRule(dice, dice.below(2) === 0 ? only : family)] as const)),
  );
  expect(validatePolicy(made)).toEqual([]);
  return made;
}
