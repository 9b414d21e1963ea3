import { expect, test } from "bun:test";
import { policyHash } from "../../../policy/hash.ts";
import { removeAddedRule } from "../../../policy/merge.ts";
import type { NetworkRule, Policy } from "../../../policy/model.ts";
import { isAddress } from "../../../policy/validate-host.ts";
import { candidateFor } from "./candidate.ts";
import type { Chunk } from "./chunk.ts";
import { denial, first, Gateway, plain, ruleOf } from "./drafts.test-support.ts";
import { registrableDomain } from "./host.ts";
import { isPrintable, safeText } from "./text.ts";

/** A generator of numbers that gives the same run for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const patterns: [string, object][] = [
  ["host *.evil.com", rule({ host: "*.evil.com" })],
  ["host **", rule({ host: "**" })],
  ["host with a class", rule({ host: "api[0-9].example.test" })],
  ["host with a choice", rule({ host: "{a,b}.example.test" })],
  ["an executable named **", rule({}, "/usr/bin/**")],
  ["an executable with ?", rule({}, "/usr/bin/cur?")],
  ["method *", rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "*", path: "/x" } }] })],
  ["path /**", rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "POST", path: "/**" } }] })],
  ["path with a part of a segment", rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "GET", path: "/v1/x*" } }] })],
  ["path ** below one segment", rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "GET", path: "/v1/**" } }] })],
  ["path ** in the middle", rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "GET", path: "/a/b/**/c" } }] })],
  [
    "query pattern",
    rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "GET", path: "/x", query: { q: { glob: "*" } } } }] }),
  ],
];

function rule(endpoint: object, binary = "/usr/bin/curl"): object {
  return { proposedRule: { endpoints: [{ host: "api.example.test", port: 443, ...endpoint }], binaries: [{ path: binary }] } };
}

for (const stage of ["initial", "refined"]) {
  for (const [name, change] of patterns) {
    test(`threat-04 no observed pattern enters a rule (${stage}): ${name}`, async () => {
      const answer = await new Gateway().submit([{ ...plain("api.example.test"), ...change, stage }]);
      expect(answer.results.map(({ code }) => code)).toEqual(["pattern_character"]);
    });
  }
}

test("threat-04 a declared template of a refined rule is taken as it is", async () => {
  const gateway = new Gateway();
  const template = rule({ protocol: "rest", enforcement: 1, rules: [{ allow: { method: "GET", path: "/repos/*/issues/**" } }] });
  const id = await gateway.propose({ ...plain("api.example.test"), ...template, stage: "refined" });
  expect((await gateway.chunk(id)).sentence).toBe("curl may connect to api.example.test on port 443 — only GET /repos/*/issues/**");
  const authored = await gateway.submit([{ ...plain("b.example.test"), ...template, stage: "refined", analysisMode: "agent_authored" }]);
  expect(authored.results[0]?.code).toBe("pattern_character");
});

test("threat-04 random text never becomes a pattern, an address in disguise, or another program", async () => {
  const gateway = new Gateway();
  const next = random(4);
  const alphabet = [
    "a",
    "Z",
    "0",
    "9",
    ".",
    "-",
    "_",
    "*",
    "?",
    "[",
    "{",
    "/",
    "\\",
    "%",
    ":",
    "@",
    " ",
    "\n",
    "\0",
    "\u202e",
    "é",
    "х",
    "x",
  ];
  const word = (): string => Array.from({ length: 1 + next(12) }, () => alphabet[next(alphabet.length)]).join("");
  for (let i = 0; i < 60; i++) {
    const proposals = Array.from({ length: 50 }, () =>
      plain(next(3) === 0 ? `${word()}.test` : "api.example.test", { binary: next(2) ? `/usr/bin/${word()}` : "/usr/bin/curl" }),
    );
    await gateway.submit(proposals);
    await gateway.person("clearDraftChunks");
    gateway.db.run("DELETE FROM draft_backoff");
  }
  const stored = gateway.drafts.repository.chunks("sb-1", "").map(({ chunk }) => chunk.rule);
  expect(stored.length).toBeGreaterThan(50);
  for (const { endpoints, binaries } of stored) {
    for (const { host } of endpoints) expect(isAddress(host) || /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(host)).toBe(true);
    for (const { path, selfOnly } of binaries)
      expect([selfOnly, /^(\/[^/*?[\]{}]+)+$/.test(path), isPrintable(path)]).toEqual([true, true, true]);
  }
});

/** How a policy treats a connection; empty = refused. The slow and plain reading of the rules that the tests generate. */
function treatments(policy: Policy, exe: string, host: string, port: number): string[] {
  return Object.values(policy.networkPolicies)
    .filter(({ binaries }) => binaries.some(({ path }) => matches(path, exe)))
    .flatMap(({ endpoints }) => endpoints.filter((endpoint) => endpoint.ports.includes(port) && matches(endpoint.host, host)))
    .map(({ protocol, access, enforcement, allowedIps }) => `${protocol} ${access} ${enforcement} ${allowedIps}`);
}

const compiled = new Map<string, RegExp>();

function matches(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  const known = compiled.get(pattern) ?? new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^./]*")}$`);
  compiled.set(pattern, known);
  return known.test(text);
}

const hosts = ["a.example.test", "b.example.test", "c.other.test", "10.0.0.5"];
const ports = [80, 443, 8443];
const programs = ["/usr/bin/curl", "/usr/bin/git", "/usr/bin/python3", "/opt/tool"];
const names = ["allow_a", "allow_b", "web"];

/** A policy of up to three rules with patterns, several endpoints and several binaries, under few names. */
function randomPolicy(next: (below: number) => number): Policy {
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  const rules = Array.from({ length: next(4) }, (): [string, NetworkRule] => {
    const name = pick(names);
    const endpoints = Array.from({ length: 1 + next(2) }, () => [pick([...hosts, "*.example.test"]), pick(ports)] as const);
    const made = ruleOf(name, endpoints, [pick([...programs, "/usr/bin/*"]), pick(programs)]);
    return [name, { ...made, binaries: made.binaries.map((binary) => ({ ...binary, selfOnly: next(2) === 0 })) }];
  });
  return { version: 1, networkPolicies: Object.fromEntries(rules) };
}

/** Throws when anything but the proposed connection is allowed in another way than before, or an old rule changed. */
function requireOnly(before: Policy, after: Policy, proposed: { host: string; port: number; binary: string }): void {
  for (const exe of programs) {
    for (const host of [...hosts, "z.example.test"]) {
      for (const port of ports) {
        const had = treatments(before, exe, host, port);
        const extra = treatments(after, exe, host, port).filter((kind) => !had.includes(kind));
        if (extra.length > 0 && !(exe === proposed.binary && host === proposed.host && port === proposed.port)) {
          throw new Error(`${exe} may now reach ${host}:${port} by the approval of ${JSON.stringify(proposed)}`);
        }
      }
    }
  }
  for (const [key, rule] of Object.entries(before.networkPolicies)) expect(after.networkPolicies[key]).toBe(rule);
}

test("threat-14 after a merge everything allowed was allowed before or is in the chunk", async () => {
  // A second of pairs by default; OPENSHELL_TEST_PAIRS=100000 runs the number of the requirement.
  const pairs = Number(process.env["OPENSHELL_TEST_PAIRS"] ?? 5_000);
  const template = await chunkTemplate();
  const next = random(14);
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  for (let pair = 0; pair < pairs; pair++) {
    const before = randomPolicy(next);
    const proposed = { host: pick(hosts), port: pick(ports), binary: pick(programs) };
    // The sandbox chooses names that collide with rules that exist.
    const ruleName = pick(names);
    const chunk = { ...template, ruleName, rule: ruleOf(ruleName, [[proposed.host, proposed.port]], [proposed.binary]) };
    const { policy, key, rule } = candidateFor(before, chunk, undefined);
    requireOnly(before, policy, proposed);
    if (!treatments(policy, proposed.binary, proposed.host, proposed.port).length) throw new Error("the approval had no effect");
    if (policyHash(removeAddedRule(policy, key, rule)) !== policyHash(before)) throw new Error(`undo of ${key} left something behind`);
  }
});

async function chunkTemplate(): Promise<Chunk> {
  const gateway = new Gateway();
  await gateway.propose(plain("api.example.test"));
  return first(gateway.drafts.repository.pending("sb-1"));
}

test("threat-14 the same through the whole service, with the undo", async () => {
  const next = random(41);
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  let merged = 0;
  for (let pair = 0; pair < 100; pair++) {
    const before = randomPolicy(next);
    const gateway = new Gateway(before);
    const proposed = { host: pick(hosts), port: pick(ports), binary: pick(programs) };
    const { results } = await gateway.submit([{ ...plain(proposed.host, proposed), ruleName: pick(names) }]);
    const { chunkId, code } = first(results);
    // What is covered is not proposed; nothing else may keep a good proposal out.
    if (chunkId === "") {
      expect(code).toBe("already_covered");
      continue;
    }
    merged += 1;
    await gateway.person("approveDraftChunk", { chunkId });
    requireOnly(before, gateway.policy, proposed);
    await gateway.person("undoDraftChunk", { chunkId });
    expect(gateway.policy).toEqual(before);
  }
  expect(merged).toBeGreaterThan(30);
});

test("threat-18 the sentence comes from the difference in policy, whatever the samples and the rationale say", async () => {
  const gateway = new Gateway();
  const harmless = { rationale: "only reads one page", l7RequestSamples: [], hitCount: 99 };
  const id = await gateway.propose(
    { ...plain("api.example.test"), ...harmless },
    { summaries: [denial("api.example.test", { l7RequestSamples: [{ method: "GET", path: "/", decision: "deny", count: 99 }] })] },
  );
  const stageOne = await gateway.chunk(id);
  expect(stageOne.sentence).toContain("ANY request, uploads included");
  expect(stageOne.flags.map(({ code }) => code)).toContain("write_access");
  const audit = rule({ host: "b.example.test", protocol: "rest", enforcement: 2, access: 1 });
  expect((await gateway.chunk(await gateway.propose({ ...plain("b.example.test"), ...audit }))).sentence).toContain(
    "ANY request, uploads included",
  );
});

test("threat-18 the rule under an id changes by a person's edit only, and then the token does too", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  const before = await gateway.chunk(id);
  const other = rule({ protocol: "rest", enforcement: 2, access: 3 });
  expect(await gateway.propose({ ...plain("api.example.test"), ...other })).toBe(id);
  expect((await gateway.chunk(id)).proposedRule).toEqual(before.proposedRule!);
  expect((await gateway.chunk(id)).reviewToken).toBe(before.reviewToken);
  await gateway.person("editDraftChunk", { chunkId: id, reviewToken: before.reviewToken, ...rule({ port: 8443 }) });
  expect((await gateway.chunk(id)).reviewToken).not.toBe(before.reviewToken);
  expect(await gateway.person("approveDraftChunk", { chunkId: id, reviewToken: before.reviewToken }).catch(({ code }) => code)).toBe(
    "failed_precondition",
  );
});

test("threat-18 hosts with credentials get no stage 1", async () => {
  const held = ruleOf("api", [["api.example.test", 443]], ["/usr/bin/git"]);
  const policy = {
    version: 1,
    networkPolicies: { api: { ...held, endpoints: held.endpoints.map((e) => ({ ...e, providerCredentialed: true })) } },
  };
  const answer = await new Gateway(policy).submit([plain("api.example.test")]);
  expect(answer.results[0]?.code).toBe("credentialed_host");
  const gateway = new Gateway();
  gateway.credentialed.push("*.example.test");
  expect((await gateway.submit([plain("api.example.test")])).results[0]?.code).toBe("credentialed_host");
  expect((await gateway.submit([plain("other.test")])).results[0]?.code).not.toBe("credentialed_host");
});

test("threat-19 names that fool the eye are flagged or refused, and the domain stands apart", async () => {
  const gateway = new Gateway();
  const long = `${"github.com.".repeat(16)}evil.test`;
  const flagged = await gateway.chunk(await gateway.propose({ ...plain(long), ruleName: "long" }));
  expect(flagged.newlyReachable[0]).toContain("(domain evil.test)");
  expect(flagged.newlyReachable[0]).toContain(long);
  for (const host of [long, "xn--gthub-n4a.com", "g1thub.com", "github.com.login.example.test", "paypa1.githubusercontent.co"]) {
    if (host !== long && host !== "paypa1.githubusercontent.co") {
      const { flags } = await gateway.chunk(await gateway.propose(plain(host)));
      expect([host, flags.some(({ code }) => code === "look_alike_host")]).toEqual([host, true]);
    }
  }
  const codes = await gateway.submit([
    plain("gіthub.com"),
    plain("a\n.test"),
    plain("x.test", { binary: "/usr/bin/cu\u202erl" }),
    plain("y.test", { binary: "/usr/bin/\ufffd" }),
  ]);
  expect(codes.results.map(({ code }) => code)).toEqual(["not_printable", "not_printable", "not_printable", "not_printable"]);
});

test("threat-19 whatever a sandbox writes arrives as one line of printable ASCII, and flags the chunk", async () => {
  const gateway = new Gateway();
  const evil = "ok\r\n\x1b]52;c;aGk=\x07\u202e\ud800 запрос";
  const id = await gateway.propose(
    { ...plain("api.example.test"), rationale: evil, modelId: evil },
    { summaries: [denial("api.example.test", { sampleCmdlines: [evil], ancestors: [evil], denyReason: evil })] },
  );
  await gateway.person("rejectDraftChunk", { chunkId: id, reason: evil });
  const chunk = await gateway.chunk(id);
  expect(chunk.flags.map(({ code }) => code)).toContain("escaped_text");
  const { entries } = await gateway.person("getDraftHistory");
  const texts = [
    chunk.rationale,
    chunk.sentence,
    chunk.securityNotes,
    chunk.modelId,
    chunk.rejectionReason,
    ...chunk.sampleCmdlines,
    ...chunk.ancestors,
  ];
  // Our own dash is the one exception, in the sentence.
  for (const text of texts) expect(text).toMatch(/^[\x20-\x7e—]*$/);
  for (const text of entries.flatMap(({ description, reason }) => [description, reason])) expect(text).toMatch(/^[\x20-\x7e]*$/);
  for (const { summary } of gateway.updates) expect(summary).toMatch(/^[\x20-\x7e]*$/);
});

test("threat-19 random bytes never pass the escape", () => {
  const next = random(19);
  for (let i = 0; i < 20_000; i++) {
    const text = String.fromCharCode(...Array.from({ length: next(40) }, () => next(next(2) ? 0x80 : 0x1_0000)));
    const { text: safe, escaped } = safeText(text, 64);
    expect(safe.length).toBeLessThanOrEqual(64);
    if (!/^[\x20-\x7e]*$/.test(safe) || escaped !== !/^[\x20-\x7e]*$/.test(text.slice(0, 64))) throw new Error(JSON.stringify(text));
  }
});

test("threat-19 the registrable domain is found for every host", () => {
  expect([
    registrableDomain("a.b.github.com"),
    registrableDomain("x.co.uk"),
    registrableDomain("user.github.io"),
    registrableDomain("10.0.0.1"),
  ]).toEqual(["github.com", "x.co.uk", "user.github.io", "10.0.0.1"]);
});

test("threat-22 the agent's own proposals name only what was denied, set nothing else, and never pass with --all", async () => {
  const gateway = new Gateway();
  const authored = { analysisMode: "agent_authored" };
  expect((await gateway.submit([plain("api.example.test")], { ...authored, summaries: [] })).results[0]?.code).toBe("no_denial");
  const seen = { ...authored, summaries: [denial("api.example.test")] };
  const other = plain("api.example.test", { binary: "/usr/bin/git" });
  expect((await gateway.submit([other], seen)).results[0]?.code).toBe("no_denial");
  for (const fields of [
    { tls: 1 },
    { allowedIps: ["10.1.2.3/32"] },
    { credentialBinding: { provider: "github" } },
    { allowUninspectedCredentials: true },
  ]) {
    expect((await gateway.submit([{ ...plain("api.example.test"), ...rule(fields) }], seen)).results[0]?.code).toBe("field_not_allowed");
  }
  const id = await gateway.propose(plain("api.example.test"), seen);
  const { flags, confidence } = await gateway.chunk(id);
  expect(flags.map(({ code }) => code)).toContain("agent_authored");
  expect(confidence).toBeLessThanOrEqual(0.5);
  const all = await gateway.person("approveAllDraftChunks", { includeSecurityFlagged: true });
  expect([all.chunksApproved, all.chunksSkipped]).toEqual([0, 1]);
  // The mark of one chunk holds inside a batch that says otherwise.
  expect((await gateway.submit([{ ...plain("never.example.test"), ...authored }], { summaries: [] })).results[0]?.code).toBe("no_denial");
});
