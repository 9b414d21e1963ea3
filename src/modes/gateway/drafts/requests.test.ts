import { describe, expect, test } from "bun:test";
import type { Policy } from "../../../policy/model.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { denial, first, Gateway } from "./drafts.test-support.ts";

const HOST = "api.example.test";
const ENFORCE = 1;
const policy = (endpoint = "", binary = "/usr/bin/curl"): Policy =>
  parsePolicyYaml(
    `
version: 1
network_policies:
  api:
    endpoints:
      - { host: ${HOST}, port: 443, protocol: rest, access: read-only, enforcement: enforce, mask_responses: true ${endpoint} }
      - { host: ${HOST}, port: 443, path: /graphql, protocol: graphql, access: read-only, enforcement: enforce }
    binaries: [{ path: ${binary} }]
`,
    { source: "test" },
  );

type Request = readonly [method: string, path: string];
const allow = (...requests: Request[]) => requests.map(([method, path]) => ({ allow: { method, path } }));

/** A proposal of request rules as the sandbox makes it. */
function narrow(rules: readonly object[], { binary = "/usr/bin/curl", ...fields }: { binary?: string; [field: string]: unknown } = {}) {
  const endpoint = { host: HOST, port: 443, ports: [443], protocol: "rest", enforcement: ENFORCE, rules, ...fields };
  return {
    ruleName: "allow_api_example_test_443_abcdef",
    stage: "refined",
    rationale: "denied",
    hitCount: 1,
    proposedRule: { endpoints: [endpoint], binaries: [{ path: binary, selfOnly: true }] },
  };
}

/** The denial with these requests. */
const denied = (requests: readonly Request[], more: object = {}) => ({
  summaries: [
    denial(HOST, {
      denialStage: "l7_deny",
      l7RequestSamples: requests.map(([method, path]) => ({ method, path, decision: "deny", count: 1 })),
      ...more,
    }),
  ],
});

test("a request that was refused is proposed, approved with the settings that are there, and taken back", async () => {
  const gateway = new Gateway(policy());
  gateway.names.set(HOST, ["93.184.216.34"]);
  const id = await gateway.propose(narrow(allow(["POST", "/repos"])), denied([["POST", "/repos"]]));
  const chunk = await gateway.chunk(id);
  expect(chunk.sentence).toBe(`curl may also ask ${HOST} on port 443 for POST /repos`);
  expect(chunk.newlyReachable).toEqual([`${HOST}:443 (domain example.test) by /usr/bin/curl, only POST /repos`]);
  expect(chunk.requestSamples).toMatchObject([{ method: "POST", path: "/repos", decision: "deny", count: 1 }]);
  expect(chunk.replay).toMatchObject({ activityTotal: 1, activityAllowed: 1, otherTotal: 0, otherAllowed: 0 });
  expect(chunk.flags.map(({ code }) => code)).toContain("write_access");
  await gateway.person("approveDraftChunk", { chunkId: id, reviewToken: chunk.reviewToken });
  const { api: _, ...added } = gateway.policy.networkPolicies;
  expect(Object.values(added).flatMap(({ endpoints }) => endpoints)).toMatchObject([
    { protocol: "rest", enforcement: "enforce", access: "", maskResponses: true, rules: [{ method: "POST", path: "/repos" }] },
  ]);
  expect((await gateway.person("getDraftHistory")).entries.at(-1)?.description).toContain("for POST /repos");
  await gateway.person("undoDraftChunk", { chunkId: id });
  expect(gateway.policy).toEqual(policy());
});

test("more requests of the same program and place become one proposal with all of them, under another id", async () => {
  const gateway = new Gateway(policy());
  const one = await gateway.propose(narrow(allow(["POST", "/a"])), denied([["POST", "/a"]]));
  expect(await gateway.propose(narrow(allow(["POST", "/a"])), denied([["POST", "/a"]]))).toBe(one);
  await gateway.chunk(one);
  const both = await gateway.propose(narrow(allow(["PUT", "/b"])), denied([["PUT", "/b"]]));
  expect(both).not.toBe(one);
  expect((await gateway.chunk(one)).status).toBe("superseded");
  const chunk = await gateway.chunk(both);
  expect(chunk.sentence).toContain("for POST /a, PUT /b");
  expect(chunk.hitCount).toBe(3);
  expect((await gateway.person("approveDraftChunk", { chunkId: one }).catch(({ code }) => code)) as unknown).toBe("failed_precondition");
});

test("what a person has rejected does not come back with another request", async () => {
  const gateway = new Gateway(policy());
  const one = await gateway.propose(narrow(allow(["POST", "/a"])), denied([["POST", "/a"]]));
  await gateway.person("rejectDraftChunk", { chunkId: one, reason: "no" });
  const two = await gateway.propose(narrow(allow(["POST", "/b"])), denied([["POST", "/b"]]));
  expect((await gateway.chunk(two)).sentence).toContain("for POST /b");
  expect((await gateway.chunk(one)).status).toBe("rejected");
});

test("a proposal that a new policy covers is superseded, one that it does not stays", async () => {
  const gateway = new Gateway(policy());
  const id = await gateway.propose(narrow(allow(["POST", "/a"])), denied([["POST", "/a"]]));
  gateway.setPolicy(policy(', path: "/v1/**"'));
  expect((await gateway.chunk(id)).status).toBe("pending");
  const wider = policy();
  const [rest, graphql] = first(Object.values(wider.networkPolicies)).endpoints;
  gateway.setPolicy({
    ...wider,
    networkPolicies: { api: { ...wider.networkPolicies["api"]!, endpoints: [{ ...rest!, access: "read-write" }, graphql!] } },
  });
  expect((await gateway.chunk(id)).status).toBe("superseded");
  expect((await gateway.submit([narrow(allow(["POST", "/a"]))], denied([["POST", "/a"]]))).results[0]?.code).toBe("already_covered");
});

test("an ancestor's rules count: their settings are taken over, and what they inspect is not opened", async () => {
  const gateway = new Gateway(policy("", "/usr/bin/bash"));
  const seen = denied([["POST", "/a"]], { ancestors: ["/usr/bin/bash"] });
  expect((await gateway.submit([narrow([], { enforcement: 2, access: 3 })], seen)).results[0]?.code).toBe("wider_than_denied");
  const id = await gateway.propose(narrow(allow(["POST", "/a"])), seen);
  await gateway.person("approveDraftChunk", { chunkId: id });
  const { api: _, ...added } = gateway.policy.networkPolicies;
  expect(Object.values(added)).toMatchObject([
    { endpoints: [{ maskResponses: true }], binaries: [{ path: "/usr/bin/curl", selfOnly: true }] },
  ]);
});

test("operations of an endpoint with a path of its own", async () => {
  const gateway = new Gateway(policy());
  const rules = [{ allow: { operationType: "mutation", fields: ["addStar"] } }];
  const id = await gateway.propose(narrow(rules, { protocol: "graphql", path: "/graphql" }), denied([["mutation addStar", "/graphql"]]));
  expect((await gateway.chunk(id)).sentence).toContain("for mutation addStar");
  await gateway.person("approveDraftChunk", { chunkId: id });
  expect(Object.keys(gateway.policy.networkPolicies)).toHaveLength(2);
});

describe("threat-04 threat-22 a sandbox that lies proposes nothing wider than what it says was denied", () => {
  const seen: Request[] = [
    ["POST", "/repos/acme"],
    ["POST", "/users/42"],
    ["mutation addStar", "/graphql"],
  ];
  const graphql = { protocol: "graphql", path: "/graphql" };
  const forged: [string, object, string][] = [
    ["any path", narrow(allow(["POST", "/**"])), "pattern_character"],
    ["any path below", narrow(allow(["POST", "/repos/acme/**"])), "wider_than_denied"],
    ["any path in one place", narrow(allow(["POST", "/*"])), "pattern_character"],
    ["a place that no id explains", narrow(allow(["POST", "/repos/*"])), "wider_than_denied"],
    ["no path", narrow(allow(["POST", ""])), "wider_than_denied"],
    ["any method", narrow(allow(["*", "/repos/acme"])), "pattern_character"],
    ["no method", narrow(allow(["", "/repos/acme"])), "pattern_character"],
    ["another method", narrow(allow(["DELETE", "/repos/acme"])), "wider_than_denied"],
    ["another path", narrow(allow(["POST", "/admin"])), "wider_than_denied"],
    ["one good rule and one more", narrow(allow(["POST", "/repos/acme"], ["POST", "/admin"])), "wider_than_denied"],
    ["another host", narrow(allow(["POST", "/repos/acme"]), { host: "other.example.test" }), "no_denial"],
    ["another port", narrow(allow(["POST", "/repos/acme"]), { port: 8443, ports: [8443] }), "no_denial"],
    ["another program", narrow(allow(["POST", "/repos/acme"]), { binary: "/usr/bin/git" }), "no_denial"],
    ["a preset", narrow([], { access: 2 }), "wider_than_denied"],
    ["everything, audited", narrow([], { access: 3, enforcement: 2 }), "wider_than_denied"],
    ["a plain connection", narrow([], { protocol: "", enforcement: 0 }), "wider_than_denied"],
    ["the rule without enforcement", narrow(allow(["POST", "/repos/acme"]), { enforcement: 2 }), "wider_than_denied"],
    ["a selector that the policy does not have", narrow(allow(["POST", "/repos/acme"]), { path: "/repos/**" }), "field_not_allowed"],
    ["the selector of another protocol", narrow(allow(["POST", "/repos/acme"]), { path: "/graphql" }), "field_not_allowed"],
    ["any operation", narrow([{ allow: { operationType: "*", fields: ["addStar"] } }], graphql), "pattern_character"],
    ["an operation without fields", narrow([{ allow: { operationType: "mutation" } }], graphql), "wider_than_denied"],
    ["another field", narrow([{ allow: { operationType: "mutation", fields: ["dropAll"] } }], graphql), "wider_than_denied"],
    ["deny rules", narrow(allow(["POST", "/repos/acme"]), { denyRules: [{ method: "GET", path: "/" }] }), "not_additive"],
    ["no inspection", narrow(allow(["POST", "/repos/acme"]), { tls: 1 }), "field_not_allowed"],
    ["a predecessor that is none", { ...narrow(allow(["POST", "/admin"])), supersedesChunkId: "nothing" }, "unknown_supersedes"],
  ];
  for (const [name, chunk, code] of forged) {
    test(name, async () => {
      const gateway = new Gateway(policy());
      const { results } = await gateway.submit([chunk as Record<string, unknown>], denied(seen));
      expect(results.map((result) => [result.code, result.chunkId])).toEqual([[code, ""]]);
      expect(gateway.policy).toEqual(policy());
    });
  }

  test("the same names are taken when they were denied, and an audited request is no denial", async () => {
    const gateway = new Gateway(policy());
    await gateway.propose(narrow(allow(["POST", "/repos/acme"], ["POST", "/users/*"])), denied(seen));
    const audited = [{ method: "POST", path: "/logged", decision: "audit", count: 9 }];
    const { results } = await gateway.submit([narrow(allow(["POST", "/logged"]))], denied([], { l7RequestSamples: audited }));
    expect(results[0]?.code).toBe("wider_than_denied");
  });

  test("a request sample that spells a pattern explains no pattern", async () => {
    for (const path of ["/x/**", "/x/*", "/**"]) {
      const { results } = await new Gateway(policy()).submit([narrow(allow(["POST", path]))], denied([["POST", path]]));
      expect([path, results[0]?.chunkId]).toEqual([path, ""]);
    }
  });
});

test("threat-04 a proposal that takes the place of an approved one only narrows what let any request through", async () => {
  const gateway = new Gateway(policy());
  const narrowed = await gateway.propose(narrow(allow(["POST", "/a"])), denied([["POST", "/a"]]));
  await gateway.person("approveDraftChunk", { chunkId: narrowed });
  const wider = { ...narrow([], { access: 2 }), supersedesChunkId: narrowed };
  expect((await gateway.submit([wider], denied([["POST", "/a"]]))).results[0]?.code).toBe("unknown_supersedes");
  // What calls itself a first proposal, and names one request, let nothing else through either.
  const named = await gateway.propose({ ...narrow(allow(["POST", "/b"])), stage: "initial" }, denied([["POST", "/b"]]));
  await gateway.person("approveDraftChunk", { chunkId: named });
  const second = { ...narrow([], { access: 3 }), supersedesChunkId: named };
  expect((await gateway.submit([second], denied([["POST", "/b"]]))).results[0]?.code).toBe("unknown_supersedes");
  const open = new Gateway();
  const first = await open.propose({ ...narrow([], { enforcement: 2, access: 3 }), stage: "initial" });
  await open.person("approveDraftChunk", { chunkId: first });
  const refined = await open.propose({ ...narrow([], { access: 1 }), supersedesChunkId: first });
  expect((await open.chunk(refined)).sentence).toBe(
    `curl may still connect to ${HOST} on port 443 — reading only (GET, HEAD, OPTIONS), no longer ANY request, uploads included (each is logged, none is refused)`,
  );
});

test("threat-19 request samples are one line of printable ASCII, and flag the chunk", async () => {
  const gateway = new Gateway(policy());
  const evil = "/a\r\n\x1b]52;c;aGk=\x07\u202e";
  const id = await gateway.propose(
    narrow(allow(["POST", "/a"])),
    denied([
      ["POST", "/a"],
      ["GET\n", evil],
    ]),
  );
  expect((await gateway.chunk(id)).flags.map(({ code }) => code)).toContain("escaped_text");
  const stored = gateway.drafts.repository.denials("sb-1").flatMap(({ requests }) => requests);
  for (const { method, path } of stored) expect(method + path).toMatch(/^[\x20-\x7e]*$/);
});

test("request samples are bounded, and the newest are kept", async () => {
  const gateway = new Gateway(policy());
  for (let batch = 0; batch < 5; batch++) {
    const requests = Array.from({ length: 50 }, (_, i): Request => ["POST", `/${batch}/${i}`]);
    await gateway.submit([], denied(requests));
  }
  const { requests } = first(gateway.drafts.repository.denials("sb-1"));
  expect(requests).toHaveLength(50);
  expect(requests.at(-1)?.path).toBe("/4/49");
  const others = Array.from({ length: 120 }, (_, i) =>
    denial(`h${i}.example.test`, { l7RequestSamples: [{ method: "GET", path: "/", decision: "deny", count: 1 }] }),
  );
  await gateway.submit([], { summaries: others });
  const kept = gateway.drafts.repository.denials("sb-1").filter((one) => one.requests.length > 0);
  expect([kept.length, gateway.drafts.repository.denials("sb-1").length]).toEqual([50, 121]);
});
