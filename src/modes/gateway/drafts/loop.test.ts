import { expect, test } from "bun:test";
import { denial, failure, Gateway, plain } from "./drafts.test-support.ts";

test("a denial becomes a chunk, an approval a revision, an undo takes exactly that back", async () => {
  const gateway = new Gateway();
  gateway.names.set("api.example.test", ["93.184.216.34"]);
  const id = await gateway.propose(plain("api.example.test"), {
    summaries: [denial("api.example.test", { sampleCmdlines: ["curl https://api.example.test/"] })],
  });
  const chunk = await gateway.chunk(id);
  expect(chunk.sentence).toBe("curl may connect to api.example.test on port 443 — ANY request, uploads included");
  expect(chunk.newlyReachable).toEqual(["api.example.test:443 (domain example.test) by /usr/bin/curl"]);
  expect(chunk.sampleCmdlines).toEqual(["curl https://api.example.test/"]);
  expect(chunk.reviewToken).not.toBe("");
  expect(chunk.currentEffectivePolicyHash).toBe(gateway.revisions[0]!.hash);
  expect(Object.keys(chunk.candidateEffectivePolicy!.networkPolicies)).toHaveLength(1);

  const approved = await gateway.person("approveDraftChunk", { chunkId: id.slice(0, 8), reviewToken: chunk.reviewToken });
  expect(approved.policyVersion).toBe(2);
  expect(approved.policyHash).toBe(chunk.candidateEffectivePolicyHash);
  expect(gateway.pushed).toEqual([2]);
  expect(Object.values(gateway.policy.networkPolicies)[0]!.binaries).toEqual([{ path: "/usr/bin/curl", selfOnly: true }]);
  expect((await gateway.chunk(id)).currentEffectivePolicy).toBeUndefined();

  gateway.setPolicy({
    ...gateway.policy,
    networkPolicies: { ...gateway.policy.networkPolicies, other: { name: "other", endpoints: [], binaries: [] } },
  });
  expect((await gateway.person("undoDraftChunk", { chunkId: id })).policyVersion).toBe(4);
  expect(Object.keys(gateway.policy.networkPolicies)).toEqual(["other"]);
  expect((await gateway.chunk(id)).status).toBe("pending");

  const { entries } = await gateway.person("getDraftHistory");
  expect(
    entries.map((entry) => [entry.eventType, entry.actor, entry.oldStatus, entry.newStatus, entry.versionBefore, entry.versionAfter]),
  ).toEqual([
    ["proposed", "sandbox:box", "", "pending", 1, 1],
    ["approved", "ana@laptop", "pending", "approved", 1, 2],
    ["undone", "ana@laptop", "approved", "pending", 3, 4],
  ]);
  expect(gateway.updates.map(({ totalPending }) => totalPending)).toEqual([1, 0, 1]);
  expect(gateway.updates.map(({ draftVersion }) => Number(draftVersion))).toEqual([1, 2, 3]);
});

test("a stale review token is refused, and without a token the approval holds", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  const { reviewToken } = await gateway.chunk(id);
  gateway.setPolicy({ version: 1, networkPolicies: { other: { name: "other", endpoints: [], binaries: [] } } });
  expect((await failure(gateway.person("approveDraftChunk", { chunkId: id, reviewToken }))).code).toBe("failed_precondition");
  expect(gateway.version).toBe(2);
  expect((await gateway.person("approveDraftChunk", { chunkId: id })).policyVersion).toBe(3);
});

test("what someone does during the look-up is never lost", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  gateway.meanwhile = () =>
    gateway.setPolicy({ version: 1, networkPolicies: { meanwhile: { name: "meanwhile", endpoints: [], binaries: [] } } });
  await gateway.person("approveDraftChunk", { chunkId: id });
  expect(Object.keys(gateway.policy.networkPolicies)).toHaveLength(2);
});

test("two approvals at once both succeed", async () => {
  const gateway = new Gateway();
  const [a, b] = [await gateway.propose(plain("a.example.test")), await gateway.propose(plain("b.example.test"))];
  await Promise.all([gateway.person("approveDraftChunk", { chunkId: a }), gateway.person("approveDraftChunk", { chunkId: b })]);
  expect(Object.keys(gateway.policy.networkPolicies)).toHaveLength(2);
  const twice = await gateway.propose(plain("c.example.test"));
  const results = await Promise.allSettled([1, 2].map(() => gateway.person("approveDraftChunk", { chunkId: twice })));
  expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(Object.keys(gateway.policy.networkPolicies)).toHaveLength(3);
});

test("an illegal transition names both states and changes nothing", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  await gateway.person("rejectDraftChunk", { chunkId: id, reason: "not needed" });
  for (const method of ["approveDraftChunk", "rejectDraftChunk", "undoDraftChunk"] as const) {
    const error = await failure(gateway.person(method, { chunkId: id }));
    expect(error.code).toBe("failed_precondition");
    expect(error.message).toContain("'rejected'");
    expect(error.message).toContain(method === "undoDraftChunk" ? "'approved'" : "'pending'");
  }
  expect(gateway.version).toBe(1);
  expect((await gateway.person("getDraftHistory")).entries).toHaveLength(2);
});

test("the history cannot be rewritten", async () => {
  const gateway = new Gateway();
  await gateway.propose(plain("api.example.test"));
  expect(() => gateway.db.run("UPDATE draft_history SET actor = 'nobody'")).toThrow("append-only");
});

test("a private answer needs a permission, and the refusal says which", async () => {
  const gateway = new Gateway();
  gateway.names.set("db.corp.test", ["10.1.2.3"]);
  const id = await gateway.propose(plain("db.corp.test"));
  const error = await failure(gateway.person("approveDraftChunk", { chunkId: id }));
  expect(error.code).toBe("failed_precondition");
  expect(error.message).toContain("10.1.2.3");
  expect(error.next).toContain('allowed_ips: ["10.1.2.3/32"]');
  expect((await gateway.chunk(id)).applicationError).toContain("10.1.2.3");
  expect(gateway.version).toBe(1);
  gateway.trustedCidrs = ["10.0.0.0/8"];
  expect((await gateway.person("approveDraftChunk", { chunkId: id })).policyVersion).toBe(2);
});

test("an edit adds the permission that the refusal asked for", async () => {
  const gateway = new Gateway();
  gateway.names.set("db.corp.test", ["10.1.2.3"]);
  const id = await gateway.propose(plain("db.corp.test", { port: 5432 }));
  const rule = {
    endpoints: [{ host: "db.corp.test", port: 5432, allowedIps: ["10.1.2.3/32"] }],
    binaries: [{ path: "/usr/bin/curl", selfOnly: true }],
  };
  await gateway.person("editDraftChunk", { chunkId: id, proposedRule: rule });
  expect((await gateway.chunk(id)).flags.map(({ code }) => code)).toContain("private_address");
  expect((await gateway.person("approveDraftChunk", { chunkId: id })).policyVersion).toBe(2);
  gateway.names.set("db.corp.test", ["10.1.2.3", "10.1.2.4"]);
});

test("one bad address among many refuses; a blocked one is never allowed, not even by a trusted range", async () => {
  const gateway = new Gateway();
  gateway.trustedCidrs = ["0.0.0.0/0"];
  gateway.names.set("a.example.test", ["93.184.216.34", "127.0.0.1"]);
  gateway.names.set("b.example.test", ["::ffff:169.254.169.254"]);
  for (const host of ["a.example.test", "b.example.test"]) {
    const id = await gateway.propose(plain(host));
    expect((await failure(gateway.person("approveDraftChunk", { chunkId: id }))).message).toContain("never reachable");
  }
});

test("other addresses in the sandbox than for the gateway make a note", async () => {
  const gateway = new Gateway();
  gateway.names.set("api.example.test", ["93.184.216.34"]);
  const id = await gateway.propose(plain("api.example.test"), {
    summaries: [denial("api.example.test", { resolvedIps: ["151.101.1.10"] })],
  });
  await gateway.person("approveDraftChunk", { chunkId: id });
  const note = (await gateway.chunk(id)).flags.find(({ code }) => code === "dns_differs");
  expect(note?.sentence).toContain("93.184.216.34");
});

test("names are looked up at approval only, and only those of the chunk", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"), {
    summaries: [denial("api.example.test"), denial("secret.attacker.example")],
  });
  await gateway.chunk(id);
  expect(gateway.asked).toEqual([]);
  await gateway.person("approveDraftChunk", { chunkId: id });
  expect(gateway.asked).toEqual(["api.example.test"]);
});

test("under a policy for all sandboxes nothing can be approved", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  gateway.globalPolicy = true;
  const error = await failure(gateway.person("approveDraftChunk", { chunkId: id }));
  expect([error.code, error.message]).toEqual(["failed_precondition", expect.stringContaining("all sandboxes")]);
});

test("only a person decides, and only the supervisor of a sandbox submits for it", async () => {
  const gateway = new Gateway();
  const id = await gateway.propose(plain("api.example.test"));
  for (const method of [
    "approveDraftChunk",
    "rejectDraftChunk",
    "editDraftChunk",
    "undoDraftChunk",
    "clearDraftChunks",
    "approveAllDraftChunks",
  ] as const) {
    expect((await failure(gateway.supervisor(method, { chunkId: id }))).code).toBe("permission_denied");
  }
  const other = { kind: "sandbox", token: "supervisor", sandboxId: "sb-2", name: "other", workspace: "default" } as const;
  expect((await failure(gateway.call("submitPolicyAnalysis", {}, other))).code).toBe("permission_denied");
  expect((await failure(gateway.call("submitPolicyAnalysis", {}, { ...other, sandboxId: "sb-1", token: "agent" }))).code).toBe(
    "permission_denied",
  );
  expect((await failure(gateway.person("submitPolicyAnalysis"))).code).toBe("permission_denied");
});
