import { describe, expect, test } from "bun:test";
import { OpenShellError } from "../error.ts";
import { emptyEndpoint, restrictiveDefault } from "./defaults.ts";
import { diffPolicies } from "./diff.ts";
import { addBinary, addEndpoint, addRule, removeBinary, removeEndpoint, removeRule } from "./edit.ts";
import { canonicalJson, policyHash } from "./hash.ts";
import { MAX_POLICY_BYTES, MAX_VIOLATIONS } from "./limits.ts";
import type { Policy } from "./model.ts";
import { canonicalHost, normalisePath } from "./normalise.ts";
import { staticChanges } from "./static.ts";
import { validatePolicy } from "./validate.ts";
import { formatPolicyYaml, formatViolation, parsePolicyYaml } from "./yaml.ts";

const parse = (text: string) => parsePolicyYaml(text, { source: "policy.yaml" });

function failure(text: string): OpenShellError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof OpenShellError) return error;
  }
  throw new Error("was accepted");
}

const network = (rest: string) =>
  parse(`version: 1\nnetwork_policies:\n  a:\n    endpoints: [{host: a.example.com, port: 443}]\n    binaries: [${rest}]\n`);

describe("YAML", () => {
  test("the first violation is the message, the next step is named, all are listed", () => {
    const error = failure("version: 2\nfoo: 1\n");
    expect(error).toMatchObject({ code: "invalid_argument", message: "policy.yaml:1:1: version: is 2, only 1 is known (and 1 more)" });
    expect(error.next).toContain("docs/policy.md");
    expect(error.violations.map((violation) => formatViolation(violation, "policy.yaml"))).toEqual([
      "policy.yaml:1:1: version: is 2, only 1 is known",
      "policy.yaml:2:1: foo: unknown key",
    ]);
  });

  test("the size is bounded on both sides of the limit", () => {
    const filler = (bytes: number) => `version: 1\n#${"x".repeat(bytes - 12)}`;
    expect(parse(filler(MAX_POLICY_BYTES)).version).toBe(1);
    expect(failure(filler(MAX_POLICY_BYTES + 1)).message).toContain(`is ${MAX_POLICY_BYTES + 1} bytes, at most ${MAX_POLICY_BYTES}`);
  });

  test.each([
    ["nested flow lists", `x: ${"[".repeat(50_000)}`],
    ["nested mappings", `x: ${"{a: ".repeat(20_000)}${"}".repeat(20_000)}`],
    ["nested blocks", Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}a:`).join("\n")],
  ])("%s end as a violation", (_, text) => {
    expect(failure(text).violations.length).toBeGreaterThan(0);
  });

  test("text that is not well-formed is refused", () => {
    expect(failure("version: 1 # \ud800").message).toContain("not UTF-8");
    expect(failure("version: 1 # \0").message).toContain("not UTF-8");
  });

  test("no more violations than a person can read", () => {
    const keys = Array.from({ length: MAX_VIOLATIONS + 50 }, (_, i) => `key${i}: 1`).join("\n");
    expect(failure(keys).violations.length).toBeLessThanOrEqual(MAX_VIOLATIONS);
  });

  test("numbers of YAML 1.1 keep no surprise", () => {
    expect(network("{path: /usr/bin/curl}").networkPolicies["a"]?.endpoints[0]?.ports).toEqual([443]);
    expect(failure("version: 1\nfilesystem_policy: {include_workdir: on}\n").message).toContain("expected true or false");
  });
});

describe("filesystem limits", () => {
  const paths = (count: number) => ({
    ...restrictiveDefault(),
    filesystem: { includeWorkdir: true, readOnly: Array.from({ length: count }, (_, i) => `/p${i}`), readWrite: [] },
  });

  test("case-04: 256 paths are accepted, 257 are not", () => {
    expect(validatePolicy(paths(256))).toEqual([]);
    expect(validatePolicy(paths(257))[0]?.message).toBe("has 257 paths, at most 256 are accepted");
  });

  test("case-05: a path of 4097 bytes is refused, with a short message", () => {
    const policy = (length: number) => ({
      ...restrictiveDefault(),
      filesystem: { includeWorkdir: true, readOnly: [`/${"a".repeat(length - 1)}`], readWrite: [] },
    });
    expect(validatePolicy(policy(4096))).toEqual([]);
    const [violation] = validatePolicy(policy(4097));
    expect(violation?.message).toContain("is 4097 bytes, at most 4096");
    expect(violation?.message.length).toBeLessThan(160);
  });

  test("paths are normalised without following links", () => {
    expect(["/usr//lib/", "/./a/.", "/", "///", "/a/../b", "a//b"].map(normalisePath)).toEqual([
      "/usr/lib",
      "/a",
      "/",
      "/",
      "/a/../b",
      "a//b",
    ]);
  });
});

test("case-39: hosts have one spelling", () => {
  expect(["API.GitHub.com", "[2001:DB8::0:1]", "::FFFF:10.0.0.1", "10.0.0.1", "*.Example.com"].map(canonicalHost)).toEqual([
    "api.github.com",
    "2001:db8::1",
    "::ffff:a00:1",
    "10.0.0.1",
    "*.example.com",
  ]);
});

describe("hash", () => {
  test("case-21: does not depend on the order of keys", () => {
    const one = parse(
      "version: 1\nlandlock: {compatibility: best_effort}\nnetwork_policies:\n  a: {endpoints: [{host: a.b.c, port: 1, protocol: rest, rules: [{allow: {method: GET, query: {x: '1', y: '2'}}}]}]}\n  b: {}\n",
    );
    const two = parse(
      "network_policies:\n  b: {}\n  a: {endpoints: [{rules: [{allow: {query: {y: '2', x: {glob: '1'}}, method: GET}}], protocol: rest, ports: [1], host: A.b.c}]}\nlandlock: {compatibility: best_effort}\nversion: 1\n",
    );
    expect(policyHash(one)).toBe(policyHash(two));
    expect(policyHash(one)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("depends on everything else, marks of the gateway included", () => {
    const base = network("{path: /usr/bin/curl}");
    const endpoint = base.networkPolicies["a"]!.endpoints[0]!;
    const change = (fields: object): Policy => ({
      ...base,
      networkPolicies: { a: { ...base.networkPolicies["a"]!, endpoints: [{ ...endpoint, ...fields }] } },
    });
    const policies = [
      ...[base, restrictiveDefault(), { ...base, filesystem: { includeWorkdir: false, readOnly: [], readWrite: [] } }],
      ...[
        { host: "b.example.com" },
        { ports: [80] },
        { tls: "skip" },
        { advisorProposed: true },
        { providerCredentialed: true },
        { maskResponses: true },
      ].map(change),
      network("{path: /usr/bin/curl, self_only: true}"),
      change({ mcp: { strictToolNames: false } }),
    ];
    expect(new Set(policies.map(policyHash)).size).toBe(policies.length);
  });

  test("every field of an endpoint is part of it", () => {
    const base = network("{path: /usr/bin/curl}");
    const rule = base.networkPolicies["a"]!;
    const other = (value: unknown) =>
      typeof value === "boolean"
        ? !value
        : typeof value === "number"
          ? value + 1
          : Array.isArray(value)
            ? [...value, value[0] ?? "x"]
            : "x";
    for (const [name, value] of Object.entries(emptyEndpoint)) {
      if (["rules", "denyRules", "graphqlPersistedQueries"].includes(name)) continue;
      const changed: Policy = {
        ...base,
        networkPolicies: { a: { ...rule, endpoints: [{ ...rule.endpoints[0]!, [name]: name === "ports" ? [1] : other(value) }] } },
      };
      expect(`${name} ${policyHash(changed) === policyHash(base)}`).toBe(`${name} false`);
      expect(`${name} ${diffPolicies(base, changed).length}`).not.toBe(`${name} 0`);
    }
  });
});

describe("changes on a live sandbox", () => {
  const base = restrictiveDefault();
  const fields = (next: Policy, old = base) => staticChanges(old, next).map(({ field }) => field);

  test("case-07: paths may be added, not removed; include_workdir stays", () => {
    const filesystem = base.filesystem!;
    expect(fields({ ...base, filesystem: { ...filesystem, readOnly: [...filesystem.readOnly, "/more"] } })).toEqual([]);
    expect(fields({ ...base, filesystem: { ...filesystem, includeWorkdir: false, readOnly: filesystem.readOnly.slice(1) } })).toEqual([
      "filesystem_policy.include_workdir",
      "filesystem_policy.read_only",
    ]);
    expect(staticChanges(base, { ...base, filesystem: { ...filesystem, readWrite: [] } })[0]?.message).toBe(
      "filesystem read_write path '/tmp' cannot be removed on a live sandbox",
    );
  });

  test("case-08: landlock and process stay", () => {
    const { landlock: _, ...strict } = base;
    expect(staticChanges(base, strict)[0]?.message).toBe("landlock policy cannot be changed on a live sandbox (applied at startup)");
    expect(fields({ ...base, process: { runAsUser: "5", runAsGroup: "5" } })).toEqual(["process"]);
    expect(fields({ ...base, process: { runAsUser: "sandbox", runAsGroup: "sandbox" } })).toEqual([]);
  });

  test("the network section is free", () => {
    expect(fields({ ...base, networkPolicies: network("{path: /usr/bin/curl}").networkPolicies })).toEqual([]);
  });
});

describe("edits and differences", () => {
  const base = network("{path: /usr/bin/curl}");
  const endpoint = { ...emptyEndpoint, host: "b.example.com", ports: [80, 443] };

  test("every edit is one difference, and its inverse restores the policy", () => {
    const rule = { name: "b", endpoints: [endpoint], binaries: [{ path: "/usr/bin/git", selfOnly: true }] };
    const steps: [Policy, (policy: Policy) => Policy, object][] = [
      [addRule(base, "b", rule), (p) => removeRule(p, "b"), { kind: "added", field: "network_policies.b" }],
      [
        addEndpoint(base, "a", endpoint),
        (p) => removeEndpoint(removeEndpoint(p, "a", "b.example.com", 80), "a", "b.example.com", 443),
        { kind: "added", field: "network_policies.a.endpoints", after: { host: "b.example.com", ports: [80, 443] } },
      ],
      [
        addBinary(base, "a", { path: "/usr/bin/git", selfOnly: true }),
        (p) => removeBinary(p, "a", "/usr/bin/git"),
        { kind: "added", field: "network_policies.a.binaries", after: { path: "/usr/bin/git", self_only: true } },
      ],
    ];
    for (const [next, back, change] of steps) {
      expect(diffPolicies(base, next)).toEqual([expect.objectContaining(change)]);
      expect(canonicalJson(back(next))).toBe(canonicalJson(base));
      expect(diffPolicies(next, back(next))).toHaveLength(1);
    }
  });

  test("the last endpoint or binary takes the rule with it", () => {
    expect(removeEndpoint(base, "a", "a.example.com", 443).networkPolicies).toEqual({});
    expect(removeBinary(base, "a", "/usr/bin/curl").networkPolicies).toEqual({});
  });

  test("what is not there, or there already, is an error", () => {
    expect(() => removeRule(base, "x")).toThrow("no rule 'x'");
    expect(() => removeRule(base, "toString")).toThrow("no rule");
    expect(() => addRule(base, "a", base.networkPolicies["a"]!)).toThrow("already");
    expect(() => addBinary(base, "a", { path: "/usr/bin/curl", selfOnly: false })).toThrow("already");
    expect(() => addEndpoint(base, "a", base.networkPolicies["a"]!.endpoints[0]!)).toThrow("already");
    expect(() => removeEndpoint(base, "a", "a.example.com", 80)).toThrow("no endpoint");
    expect(() => removeBinary(base, "a", "/x")).toThrow("no binary");
  });

  test("sections and order count", () => {
    expect(diffPolicies(base, { ...base, landlock: { compatibility: "best_effort" } })).toEqual([
      { kind: "added", field: "landlock", after: { compatibility: "best_effort" } },
    ]);
    const two = addBinary(base, "a", { path: "/usr/bin/git", selfOnly: false });
    const rule = two.networkPolicies["a"]!;
    const swapped = { ...two, networkPolicies: { a: { ...rule, binaries: rule.binaries.toReversed() } } };
    expect(diffPolicies(two, swapped)).toMatchObject([{ kind: "changed", field: "network_policies.a.binaries" }]);
    expect(diffPolicies(base, base)).toEqual([]);
  });
});

test("case-16: the restrictive default is valid, reads back from YAML and allows no network", () => {
  const policy = restrictiveDefault();
  expect(validatePolicy(policy)).toEqual([]);
  expect(parse(formatPolicyYaml(policy))).toEqual(policy);
  expect(policy.networkPolicies).toEqual({});
});

test("only the gateway marks endpoints", () => {
  const marked = {
    ...restrictiveDefault(),
    networkPolicies: {
      a: { name: "a", endpoints: [{ ...emptyEndpoint, host: "a.b.c", ports: [1], advisorProposed: true }], binaries: [] },
    },
  };
  expect(validatePolicy(marked)).toEqual([]);
  expect(validatePolicy(marked, { authored: true })).toHaveLength(1);
});

test("the policies of the reference page are valid", async () => {
  const page = await Bun.file(new URL("../../docs/policy.md", import.meta.url)).text();
  const examples = [...page.matchAll(/```yaml\n([^`]*)```/g)].map(([, text]) => parse(text ?? ""));
  expect(examples).toHaveLength(2);
  expect(examples[1]).toEqual(restrictiveDefault());
});
