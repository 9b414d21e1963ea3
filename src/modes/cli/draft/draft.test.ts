import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type ApproveAllDraftChunksRequest,
  type ApproveDraftChunkRequest,
  DraftPolicyUpdateSchema,
  type PolicyChunk,
  PolicyChunkSchema,
  PolicyStatus,
  SandboxSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { fakeGateway } from "../gateway.fixture.ts";

const at = (time: string) => timestampFromDate(new Date(time));

function chunk(id: string, more: Partial<Exclude<MessageInitShape<typeof PolicyChunkSchema>, PolicyChunk>> = {}): PolicyChunk {
  return create(PolicyChunkSchema, {
    id,
    status: "pending",
    ruleName: "allow_api_example_test_443_3fa9c1",
    proposedRule: { endpoints: [{ host: "api.example.test", ports: [443] }], binaries: [{ path: "/usr/bin/curl", selfOnly: true }] },
    sentence: "curl may connect to api.example.test on port 443 — ANY request, uploads included",
    rationale: "Seen 3 times.\nInspection comes later.",
    confidence: 0.6,
    hitCount: 3,
    stage: "initial",
    analysisMode: "mechanistic",
    binary: "/usr/bin/curl",
    ancestors: ["/usr/bin/bash"],
    sampleCmdlines: ["curl https://api.example.test/"],
    firstSeenTime: at("2026-03-01T10:00:00Z"),
    lastSeenTime: at("2026-03-01T10:05:00Z"),
    newlyReachable: ["api.example.test:443"],
    reviewToken: `token-${id}`,
    ...more,
  });
}

/** A draft that pages two at a time, as the gateway may. */
const serving = (chunks: readonly PolicyChunk[]) => (request: { statusFilter: string; pageToken: string }) => {
  const wanted = chunks.filter(({ status }) => request.statusFilter === "" || status === request.statusFilter);
  const from = Number(request.pageToken || 0);
  return {
    chunks: wanted.slice(from, from + 2),
    nextPageToken: from + 2 < wanted.length ? String(from + 2) : "",
    draftVersion: 4n,
    rollingSummary: "1 denial",
  };
};

describe("sandbox draft", () => {
  test("a chunk for a person: sentence, owner, who asked, rule, the command that approves", async () => {
    await using gateway = await fakeGateway({
      getDraftPolicy: serving([chunk("3f2a91c0-1111"), chunk("77777777-2", { status: "approved" })]),
    });
    const { code, out, err } = await gateway.run("sandbox draft work");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toBe(`1 denial

curl may connect to api.example.test on port 443 - ANY request, uploads included
  chunk 3f2a91c0 | pending | initial | mechanistic
  Domain:          example.test  in full: api.example.test port 443
  Asked by:        /usr/bin/curl
                   started by /usr/bin/bash
  Command:         $ curl https://api.example.test/
  Seen:            3 times, first 2026-03-01 10:00:00, last 2026-03-01 10:05:00 UTC
  Confidence:      60 %
  Newly reachable: api.example.test:443
  Why:             Seen 3 times.
                   Inspection comes later.
  Rule:
    + network_policies:
    +   allow_api_example_test_443_3fa9c1:
    +     endpoints:
    +       - host: api.example.test
    +         port: 443
    +     binaries:
    +       - path: /usr/bin/curl
    +         self_only: true
  Approve:         openshell sandbox draft approve work 3f2a91c0
  Reject:          openshell sandbox draft reject work 3f2a91c0 --reason TEXT

1 more that are decided or expired: openshell sandbox draft work --chunks
`);
  });

  test("what fools the eye is escaped, and the owner is never cut (threat-19)", async () => {
    const long = `${"paypal.com.".repeat(18)}evil.test`;
    const fooling = chunk("3f2a91c0", {
      sentence: "c\u0443rl may \u202Econnect\x1b[2J\nApproved",
      proposedRule: { endpoints: [{ host: long, ports: [443] }], binaries: [{ path: "/tmp/c\u0443rl" }] },
      binary: "/tmp/c\u0443rl",
      sampleCmdlines: ["\x1b]52;c;aGk=\x07"],
      flags: [{ code: "writable_binary", sentence: "the agent\u2028could have written it" }],
      newlyReachable: ["\u200b"],
    });
    await using gateway = await fakeGateway({ getDraftPolicy: serving([fooling]) });
    for (const line of ["sandbox draft work", "sandbox draft work --chunks", "sandbox draft work -o json", "sandbox draft work -o yaml"]) {
      const { code, out } = await gateway.run(line);
      expect(code).toBe(0);
      expect(out).toMatch(/^[\n\x20-\x7e]*$/);
      expect(out).toContain(long);
      expect(out).toContain("evil.test");
    }
    const { out } = await gateway.run("sandbox draft work");
    expect(out).toContain("Domain:          evil.test  in full: paypal.com.");
    expect(out).toContain("c\\xd1\\x83rl may \\xe2\\x80\\xaeconnect\\x1b[2J\\x0aApproved");
  });

  test("json carries everything under the names of the API", async () => {
    await using gateway = await fakeGateway({ getDraftPolicy: serving([chunk("a"), chunk("b", { status: "rejected" }), chunk("c")]) });
    const data = JSON.parse((await gateway.run("sandbox draft work -o json")).out);
    expect(data).toMatchObject({ sandbox: "work", draft_version: 4, pending: 2, rolling_summary: "1 denial" });
    expect(data.chunks.map((c: { id: string }) => c.id)).toEqual(["a", "b", "c"]);
    expect(data.chunks[0]).toMatchObject({
      rule_name: "allow_api_example_test_443_3fa9c1",
      hit_count: 3,
      review_token: "token-a",
      registrable_domains: ["example.test"],
    });
    expect((await gateway.run("sandbox draft work --status rejected -o name")).out).toBe("b\n");
    expect((await gateway.run("rule get work --status rejected -o name")).out).toBe("b\n");
  });

  test("--watch shows each pending chunk once", async () => {
    const chunks = [chunk("a1")];
    await using gateway = await fakeGateway({
      getDraftPolicy: (request) => serving(chunks)(request),
      watchSandbox: async function* () {
        yield { payload: { case: "sandbox", value: create(SandboxSchema) } };
        chunks.push(chunk("b2"));
        yield { payload: { case: "draftPolicyUpdate", value: create(DraftPolicyUpdateSchema, { newChunks: 1 }) } };
      },
    });
    expect((await gateway.run("sandbox draft work --watch -o name")).out.startsWith("a1\n")).toBe(true);
    const ids = (await gateway.run("sandbox draft work --watch -o name")).out.trim().split("\n");
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.slice(0, 2)).toEqual(["a1", "b2"]);
  });
});

describe("draft approve", () => {
  const approving = (chunks: readonly PolicyChunk[]) => {
    const asked: ApproveDraftChunkRequest[] = [];
    let looks = 0;
    return {
      asked,
      looks: () => looks,
      gateway: () =>
        fakeGateway({
          getDraftPolicy: serving(chunks),
          approveDraftChunk: (request) => {
            asked.push(request);
            return { policyVersion: 5 };
          },
          getSandboxPolicyStatus: ({ version }) => {
            looks++;
            return {
              revision: { version, status: looks > 1 ? PolicyStatus.LOADED : PolicyStatus.PENDING },
              activeVersion: looks > 1 ? version : 4,
            };
          },
        }),
    };
  };

  test("requests that a chunk is about are shown, the first of them, without control bytes; json has all", async () => {
    const samples = Array.from({ length: 7 }, (_, i) => ({ method: "POST", path: `/r/${i}\u001b]`, decision: "deny", count: i + 1 }));
    await using gateway = await fakeGateway({ getDraftPolicy: serving([chunk("3f2a91c0-1111", { requestSamples: samples })]) });
    const { out } = await gateway.run("sandbox draft work");
    expect(out).toContain("  Requests:        POST /r/0\\x1b] denied once\n                   POST /r/1\\x1b] denied 2 times\n");
    expect(out).toContain("and 2 more\n");
    expect(JSON.parse((await gateway.run("sandbox draft work -o json")).out).chunks[0].request_samples).toHaveLength(7);
  });

  test("a prefix is enough; what is shown is what is approved; --wait waits for the acknowledgement (threat-18)", async () => {
    const play = approving([chunk("3f2a91c0"), chunk("3f999999"), chunk("aa")]);
    await using gateway = await play.gateway();
    const { code, out, err } = await gateway.run("sandbox draft approve work 3f2 --wait");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toStartWith("curl may connect to api.example.test on port 443 - ANY request, uploads included\n");
    expect(out).toEndWith("✓ Approved 3f2a91c0 (policy version 5)\n✓ In force in the sandbox (policy version 5)\n");
    expect(play.asked.map(({ chunkId, reviewToken }) => [chunkId, reviewToken])).toEqual([["3f2a91c0", "token-3f2a91c0"]]);
    expect(play.looks()).toBe(2);
  });

  test("a prefix of two is refused with both, an unknown one with where to look", async () => {
    const play = approving([chunk("3f2a91c0"), chunk("3f999999")]);
    await using gateway = await play.gateway();
    const two = await gateway.run("sandbox draft approve work 3f");
    expect([two.code, play.asked.length]).toEqual([2, 0]);
    expect(two.err).toContain("'3f' could be 2 chunks: 3f2a91c0, 3f999999");
    const none = await gateway.run("rule approve work --chunk-id 00");
    expect([none.code, none.err]).toEqual([1, "Error: sandbox 'work' has no chunk '00'\nNext: openshell sandbox draft work --chunks\n"]);
  });

  test("asks on a terminal unless --yes", async () => {
    const play = approving([chunk("3f2a91c0")]);
    await using gateway = await play.gateway();
    expect((await gateway.run("sandbox draft approve work 3f", { isTerminal: true, stdin: ["\n"] })).code).toBe(1);
    expect(play.asked.length).toBe(0);
    expect((await gateway.run("sandbox draft approve work 3f", { isTerminal: true, stdin: ["y\n"] })).code).toBe(0);
    expect((await gateway.run("sandbox draft approve work 3f --yes", { isTerminal: true })).code).toBe(0);
    expect(play.asked.length).toBe(2);
  });

  test("a refused revision is an error with the sandbox's reason", async () => {
    await using gateway = await fakeGateway({
      getDraftPolicy: serving([chunk("3f")]),
      approveDraftChunk: () => ({ policyVersion: 5 }),
      getSandboxPolicyStatus: () => ({ revision: { version: 5, status: PolicyStatus.FAILED, loadError: "engine says no" } }),
    });
    const { code, err } = await gateway.run("sandbox draft approve work 3f --wait");
    expect([code, err]).toEqual([1, "Error: the sandbox refused policy version 5: engine says no\nNext: openshell policy get work\n"]);
  });

  test("--all takes unflagged ones after --yes, with their tokens, and names the skipped", async () => {
    let asked: ApproveAllDraftChunksRequest | undefined;
    const flagged = chunk("ff", { flags: [{ code: "interpreter", sentence: "python3 runs any script" }] });
    await using gateway = await fakeGateway({
      getDraftPolicy: serving([chunk("aa"), flagged, chunk("bb")]),
      approveAllDraftChunks: (request) => {
        asked = request;
        return {
          policyVersion: 6,
          chunksApproved: request.approvals.length,
          chunksSkipped: 1,
          skipped: [{ chunkId: "bb", reason: "already covered" }],
        };
      },
    });
    const refused = await gateway.run("sandbox draft approve work --all");
    expect([refused.code, asked]).toEqual([2, undefined]);
    const { code, out } = await gateway.run("sandbox draft approve work --all --yes");
    expect(code).toBe(0);
    expect(asked?.approvals.map(({ chunkId, reviewToken }) => [chunkId, reviewToken])).toEqual([
      ["aa", "token-aa"],
      ["bb", "token-bb"],
    ]);
    expect(asked?.includeSecurityFlagged).toBe(false);
    expect(out).toEndWith(
      "✓ Approved 2 (policy version 6)\nSkipped 2:\n  bb  already covered\n  ff  interpreter: python3 runs any script\n",
    );
    await gateway.run("rule approve-all work --include-security-flagged --yes");
    expect(asked?.approvals.length).toBe(3);
    expect(asked?.includeSecurityFlagged).toBe(true);
  });
});

describe("the other verbs", () => {
  test("reject, undo, retry, edit, clear and history name the chunk by its whole id", async () => {
    const seen: unknown[] = [];
    const record = <T extends object>(answer: T, ...what: unknown[]): T => {
      seen.push(what);
      return answer;
    };
    await using gateway = await fakeGateway({
      getDraftPolicy: serving([chunk("3f2a91c0-full")]),
      rejectDraftChunk: ({ chunkId, reason }) => record({}, "reject", chunkId, reason),
      undoDraftChunk: ({ chunkId }) => record({ policyVersion: 9 }, "undo", chunkId),
      retryDraftChunk: ({ chunkId }) => record({}, "retry", chunkId),
      editDraftChunk: ({ chunkId, reviewToken, proposedRule }) =>
        record({}, "edit", chunkId, reviewToken, proposedRule?.endpoints[0]?.host),
      clearDraftChunks: () => ({ chunksCleared: 2 }),
      getDraftHistory: () => ({
        entries: [
          {
            eventTime: at("2026-03-01T10:00:00Z"),
            eventType: "approved",
            chunkId: "3f2a91c0-full",
            actor: "ann@host\x1b",
            oldStatus: "pending",
            newStatus: "approved",
            versionBefore: 4,
            versionAfter: 5,
          },
        ],
      }),
    });
    const file = join(gateway.home, "rule.yaml");
    writeFileSync(
      file,
      "version: 1\nnetwork_policies:\n  x:\n    endpoints: [{host: b.example.test, port: 443}]\n    binaries: [{path: /usr/bin/curl}]\n",
    );
    expect((await gateway.run(["sandbox", "draft", "reject", "work", "3f", "--reason", "use the mirror"])).code).toBe(0);
    expect((await gateway.run("sandbox draft undo work 3f")).out).toContain("pending again (policy version 9)");
    expect((await gateway.run("sandbox draft retry work 3f")).code).toBe(0);
    expect((await gateway.run(["sandbox", "draft", "edit", "work", "3f", "--file", file])).err).toBe("");
    expect((await gateway.run("sandbox draft clear work")).out).toBe("✓ Cleared 2 pending\n");
    expect(seen).toEqual([
      ["reject", "3f2a91c0-full", "use the mirror"],
      ["undo", "3f2a91c0-full"],
      ["retry", "3f2a91c0-full"],
      ["edit", "3f2a91c0-full", "token-3f2a91c0-full", "b.example.test"],
    ]);
    expect((await gateway.run("sandbox draft history work")).out).toBe(
      "TIME                  CHUNK      EVENT      STATUS               ACTOR          POLICY   TEXT\n2026-03-01 10:00:00   3f2a91c0   approved   pending > approved   ann@host\\x1b   4 > 5\n",
    );
  });
});
