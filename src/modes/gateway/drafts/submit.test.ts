import { expect, test } from "bun:test";
import { denial, failure, Gateway, plain, ruleOf } from "./drafts.test-support.ts";

/** What every kind of bad proposal is refused with; the rule of one field is changed at a time. */
const refusals: [string, object, string][] = [
  ["no rule", { proposedRule: undefined }, "bad_schema"],
  ["a rule name that is not one", { ruleName: "../x y" }, "bad_schema"],
  ["a reserved rule name", { ruleName: "_provider_github" }, "bad_schema"],
  ["no binary", endpoint({}, []), "bad_schema"],
  ["no endpoint", { proposedRule: { endpoints: [], binaries: [{ path: "/usr/bin/curl" }] } }, "bad_schema"],
  [
    "eleven endpoints",
    {
      proposedRule: {
        endpoints: Array.from({ length: 11 }, (_, i) => ({ host: `h${i}.example.test`, port: 443 })),
        binaries: [{ path: "/usr/bin/curl" }],
      },
    },
    "over_limit",
  ],
  ["port 0", endpoint({ port: 0, ports: [] }), "bad_schema"],
  ["port 70000", endpoint({ port: 70_000, ports: [70_000] }), "bad_schema"],
  ["a relative binary", endpoint({}, ["curl"]), "bad_schema"],
  ["a binary with ..", endpoint({}, ["/usr/../tmp/curl"]), "bad_schema"],
  ["our own executable", endpoint({}, ["/usr/local/bin/openshell"]), "own_executable"],
  ["loopback by name", endpoint({ host: "localhost" }), "blocked_name"],
  ["loopback below localhost", endpoint({ host: "x.localhost" }), "blocked_name"],
  ["loopback by address", endpoint({ host: "127.8.9.1" }), "blocked_address"],
  ["loopback in IPv6", endpoint({ host: "::1" }), "blocked_address"],
  ["loopback mapped into IPv6", endpoint({ host: "::ffff:127.0.0.1" }), "blocked_address"],
  ["link-local", endpoint({ host: "fe80::1" }), "blocked_address"],
  ["unspecified", endpoint({ host: "0.0.0.0" }), "blocked_address"],
  ["multicast", endpoint({ host: "224.0.0.1" }), "blocked_address"],
  ["metadata by address", endpoint({ host: "169.254.169.254" }), "cloud_metadata"],
  ["metadata of another cloud", endpoint({ host: "100.100.100.200" }), "cloud_metadata"],
  ["metadata by NAT64", endpoint({ host: "64:ff9b::a9fe:a9fe" }), "cloud_metadata"],
  ["metadata by name", endpoint({ host: "metadata.google.internal" }), "cloud_metadata"],
  ["the gateway by name", endpoint({ host: "gateway.openshell.internal", port: 17670, ports: [17670] }), "gateway_endpoint"],
  ["the gateway by another name", endpoint({ host: "gw.example.test", port: 17670, ports: [17670] }), "gateway_endpoint"],
  ["the container engine", endpoint({ host: "10.0.0.1", port: 2375, ports: [2375] }), "control_port"],
  ["Kubernetes", endpoint({ port: 6443, ports: [6443] }), "control_port"],
  ["a cluster name", endpoint({ host: "api.default.svc.cluster.local" }), "blocked_name"],
  ["the model route", endpoint({ host: "inference.local" }), "blocked_name"],
  ["an address in octal", endpoint({ host: "0177.0.0.1" }), "bad_schema"],
  ["an address in hexadecimal", endpoint({ host: "0x7f.1" }), "bad_schema"],
  ["an address as a number", endpoint({ host: "2130706433" }), "bad_schema"],
  ["user information", endpoint({ host: "user@example.test" }), "bad_schema"],
  ["no inspection", endpoint({ tls: 1 }), "field_not_allowed"],
  ["deny rules", endpoint({ protocol: "rest", access: 1, denyRules: [{ method: "GET", path: "/x" }] }), "not_additive"],
  ["a range of addresses", endpoint({ allowedIps: ["10.0.0.0/8"] }), "untrusted_range"],
  ["a blocked address", endpoint({ allowedIps: ["127.0.0.1/32"] }), "blocked_address"],
  ["an unknown stage", { stage: "final" }, "bad_schema"],
  ["a predecessor that is none", { stage: "refined", supersedesChunkId: "nothing" }, "unknown_supersedes"],
];

function endpoint(fields: object, binaries = ["/usr/bin/curl"]): object {
  return {
    proposedRule: { endpoints: [{ host: "api.example.test", port: 443, ...fields }], binaries: binaries.map((path) => ({ path })) },
  };
}

for (const [name, change, code] of refusals) {
  test(`refused by name: ${name}`, async () => {
    const gateway = new Gateway();
    const answer = await gateway.submit([{ ...plain("api.example.test"), ...change }]);
    expect(answer.results.map((result) => result.code)).toEqual([code]);
    expect([answer.acceptedChunks, answer.rejectedChunks, answer.rejectionReasons[0]!.startsWith(`${code}: `)]).toEqual([0, 1, true]);
    expect(await gateway.statuses()).toEqual([]);
  });
}

test("what the policy allows already is refused", async () => {
  const gateway = new Gateway({ version: 1, networkPolicies: { web: ruleOf("web", [["api.example.test", 443]], ["/usr/bin/curl"]) } });
  expect((await gateway.submit([plain("api.example.test")])).results[0]!.code).toBe("already_covered");
});

test("hits fold into the open chunk, and give it time", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  gateway.now += 3_000_000;
  const again = await gateway.submit([{ ...plain("api.example.test"), hitCount: 1_000 }]);
  expect(again.results.map((r) => [r.code, r.chunkId])).toEqual([["folded", id]]);
  expect((await gateway.chunk(id)).hitCount).toBe(101);
  gateway.now += 3_000_000;
  expect((await gateway.chunk(id)).status).toBe("pending");
});

test("a chunk without hits expires, and a new hit makes a new one", async () => {
  const gateway = new Gateway();
  gateway.settings.set("draft_ttl", "10m");
  const id = await gateway.propose(plain("api.example.test"));
  gateway.now += 600_000;
  expect((await gateway.chunk(id)).status).toBe("expired");
  expect(gateway.updates.at(-1)!.totalPending).toBe(0);
  expect(await gateway.propose(plain("api.example.test"))).not.toBe(id);
  expect((await gateway.person("getDraftHistory")).entries.map((e) => e.eventType)).toEqual(["proposed", "expired", "proposed"]);
});

test("ten are pending, the eleventh waits for room", async () => {
  const gateway = new Gateway();
  const hosts = Array.from({ length: 11 }, (_, i) => `h${i}.example.test`);
  const answer = await gateway.submit(hosts.map((host) => plain(host)));
  expect(answer.results.map((r) => r.code)).toEqual([...Array.from({ length: 10 }, () => "accepted"), "cap_reached"]);
  await gateway.person("clearDraftChunks");
  expect((await gateway.submit([plain("h10.example.test")])).results[0]!.code).toBe("accepted");
});

test("threat-30 a flood by one program does not hide what another needs", async () => {
  const gateway = new Gateway();
  await gateway.submit(Array.from({ length: 10 }, (_, i) => plain(`h${i}.example.test`, { binary: `/tmp/copy-${i}` })));
  expect((await gateway.submit([plain("real.example.test", { binary: "/usr/bin/git" })])).results[0]!.code).toBe("accepted");
  const { chunks } = await gateway.person("getDraftPolicy", { statusFilter: "expired" });
  expect(chunks).toHaveLength(1);
  // What a person has seen stays.
  expect((await gateway.submit([plain("b.example.test", { binary: "/tmp/new" })])).results[0]!.code).toBe("cap_reached");
});

test("submissions are one per 5 s, three at once", async () => {
  const gateway = new Gateway();
  for (let i = 0; i < 3; i++) await gateway.supervisor("submitPolicyAnalysis");
  const error = await failure(gateway.supervisor("submitPolicyAnalysis"));
  expect([error.code, error.next]).toEqual(["resource_exhausted", "submit again in 5 s"]);
  gateway.now += 5_000;
  await gateway.supervisor("submitPolicyAnalysis");
  expect((await failure(gateway.supervisor("submitPolicyAnalysis"))).code).toBe("resource_exhausted");
});

test("the second rejection refuses for an hour, then four, then a day; the reason travels back; retry lifts it", async () => {
  const gateway = new Gateway();
  const hour = 3_600_000;
  let id = "";
  for (const wait of [0, hour, 4 * hour, 24 * hour, 24 * hour]) {
    id = await gateway.propose(plain("api.example.test"));
    await gateway.person("rejectDraftChunk", { chunkId: id, reason: "use the mirror" });
    if (wait === 0) continue;
    gateway.now += wait - 10_000;
    const refused = (await gateway.submit([plain("api.example.test")])).results[0]!;
    expect(refused.code).toBe("backed_off");
    expect(refused.reason).toContain("use the mirror");
  }
  await gateway.person("retryDraftChunk", { chunkId: id });
  expect((await gateway.chunk(id)).status).toBe("pending");
  await gateway.person("rejectDraftChunk", { chunkId: id });
  expect((await gateway.submit([plain("api.example.test")])).results[0]!.code).toBe("accepted");
  expect((await gateway.chunk(id)).status).toBe("superseded");
});

test("clearing rejects everything pending and does not count", async () => {
  const gateway = new Gateway();
  for (let i = 0; i < 3; i++) {
    const id = await gateway.propose(plain("api.example.test"));
    expect((await gateway.person("clearDraftChunks")).chunksCleared).toBe(1);
    expect((await gateway.chunk(id)).rejectionReason).toBe("cleared");
  }
});

test("a chunk that another change covers is superseded", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  gateway.setPolicy({ version: 1, networkPolicies: { web: ruleOf("web", [["api.example.test", 443]], ["/usr/bin/curl"]) } });
  expect((await gateway.chunk(id)).status).toBe("superseded");
});

test("with the advisor off nothing is kept, and the status says so", async () => {
  const gateway = new Gateway();
  gateway.settings.set("policy_advisor", "off");
  expect((await gateway.submit([plain("api.example.test")])).results[0]!.code).toBe("advisor_off");
  expect((await gateway.person("getPolicyAdvisorStatus")).mode).toBe("off");
});

test("a refined chunk takes the place of the one it narrows, in one revision", async () => {
  const gateway = new Gateway();
  const first = await gateway.propose(plain("api.example.test"));
  await gateway.person("approveDraftChunk", { chunkId: first });
  const refined = await gateway.propose({
    ...plain("api.example.test"),
    stage: "refined",
    supersedesChunkId: first,
    proposedRule: {
      endpoints: [{ host: "api.example.test", port: 443, protocol: "rest", enforcement: 1, access: 1 }],
      binaries: [{ path: "/usr/bin/curl" }],
    },
  });
  expect((await gateway.chunk(refined)).sentence).toContain("reading only (GET, HEAD, OPTIONS)");
  expect((await gateway.chunk(refined)).sentence).toContain("no longer ANY request, uploads included");
  expect((await gateway.chunk(refined)).flags.map(({ code }) => code)).not.toContain("write_access");
  await gateway.person("approveDraftChunk", { chunkId: refined });
  expect(gateway.version).toBe(3);
  expect(Object.values(gateway.policy.networkPolicies).flatMap(({ endpoints }) => endpoints.map(({ access }) => access))).toEqual([
    "read-only",
  ]);
  expect((await gateway.chunk(first)).status).toBe("superseded");
});

test("approve all takes what carries no note, says why the rest is left, and makes one revision", async () => {
  const gateway = new Gateway();
  const read = (host: string) => ({
    ...plain(host),
    stage: "refined",
    proposedRule: { endpoints: [{ host, port: 443, protocol: "rest", enforcement: 1, access: 1 }], binaries: [{ path: "/usr/bin/curl" }] },
  });
  await gateway.submit([read("a.example.test"), read("b.example.test"), plain("c.example.test"), plain("d.example.test")]);
  const answer = await gateway.person("approveAllDraftChunks");
  expect([answer.policyVersion, answer.chunksApproved, answer.chunksSkipped]).toEqual([2, 2, 2]);
  expect(answer.skipped[0]!.reason).toContain("write_access");
  gateway.names.set("d.example.test", ["10.0.0.9"]);
  const rest = await gateway.person("approveAllDraftChunks", { includeSecurityFlagged: true });
  expect([rest.policyVersion, rest.chunksApproved, rest.skipped[0]!.reason]).toEqual([3, 1, expect.stringContaining("10.0.0.9")]);
  await gateway.person("clearDraftChunks");
  expect((await failure(gateway.person("approveAllDraftChunks"))).message).toBe("no pending chunks to approve");
});

test("approve all leaves what got a note while names were looked up", async () => {
  const gateway = new Gateway();
  const host = "a.example.test";
  const proposedRule = {
    endpoints: [{ host, port: 443, protocol: "rest", enforcement: 1, access: 1 }],
    binaries: [{ path: "/usr/bin/curl" }],
  };
  await gateway.submit([{ ...plain(host), stage: "refined", proposedRule }]);
  gateway.names.set(host, ["93.184.216.34"]);
  gateway.meanwhile = () => void gateway.credentialed.push(host);
  const answer = await gateway.person("approveAllDraftChunks");
  expect([answer.chunksApproved, answer.skipped.map(({ reason }) => reason)]).toEqual([0, [expect.stringContaining("credential")]]);
});

test("pages are bound to their list", async () => {
  const gateway = new Gateway();
  await gateway.submit(Array.from({ length: 5 }, (_, i) => plain(`h${i}.example.test`)));
  const first = await gateway.person("getDraftPolicy", { pageSize: 2, statusFilter: "pending" });
  const second = await gateway.person("getDraftPolicy", { pageSize: 4, statusFilter: "pending", pageToken: first.nextPageToken });
  expect([first.chunks.length, second.chunks.length, second.nextPageToken]).toEqual([2, 3, ""]);
  expect((await failure(gateway.person("getDraftPolicy", { pageToken: first.nextPageToken }))).code).toBe("invalid_argument");
  expect((await failure(gateway.person("getDraftPolicy", { statusFilter: "open" }))).code).toBe("invalid_argument");
});

test("denials are kept per key, with the newest samples, and evicted with a count", async () => {
  const gateway = new Gateway();
  await gateway.submit([], { summaries: Array.from({ length: 1_000 }, (_, i) => denial(`h${i}.example.test`)) });
  await gateway.submit([], { summaries: [denial("late.example.test", { totalCount: 7 })] });
  expect(gateway.drafts.repository.denials("sb-1")).toHaveLength(1_000);
  expect((await gateway.person("getPolicyAdvisorStatus")).overflowCount).toBe(1n);
  await gateway.submit([], { summaries: [denial("late.example.test", { totalCount: 9 })] });
  expect(gateway.drafts.repository.denial("sb-1", { host: "late.example.test", port: 443, binary: "/usr/bin/curl" })?.totalCount).toBe(9);
});

test("the replay counts what this activity and what everything else would have been", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"), {
    summaries: [denial("api.example.test", { totalCount: 14 }), denial("other.example.test", { totalCount: 3 })],
  });
  const { activityTotal, activityAllowed, otherTotal, otherAllowed } = (await gateway.chunk(id)).replay!;
  expect([activityTotal, activityAllowed, otherTotal, otherAllowed]).toEqual([14, 14, 3, 0]);
});
