import { expect, test } from "bun:test";
import { toBinary } from "@bufbuild/protobuf";
import type { NetworkEvent, SecurityEvent } from "../../../events/event.ts";
import type { Policy } from "../../../policy/model.ts";
import { DenialSummarySchema, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { PolicyAdvisor, type PolicyAdvisorOptions, type Submission } from "./policy-advisor.ts";

const denied: NetworkEvent = {
  kind: "network",
  time: 1000,
  severity: "medium",
  activity: "open",
  action: "denied",
  actor: { binary: "/usr/bin/tool", pid: 7, ancestors: ["/bin/bash"], commandLine: "tool --password hunter2" },
  host: "api.example",
  port: 443,
  protocol: "tcp",
  engine: "opa",
  code: "host_not_allowed",
  stage: "connect",
};
const empty: Policy = { version: 1, networkPolicies: {} };

/** An advisor and the submissions it makes; `next` waits for one. */
function advisor(options: Partial<PolicyAdvisorOptions> = {}) {
  const made: Submission[] = [];
  let wake: () => void = () => {};
  const events: SecurityEvent[] = [];
  const one = new PolicyAdvisor({
    submit: async (submission) => {
      made.push(submission);
      wake();
      return { results: [] };
    },
    currentPolicy: () => empty,
    trustedCidrs: [],
    internalDomains: [],
    hostsFile: "/nonexistent",
    emit: (event) => events.push(event),
    ...options,
  });
  one.start();
  const next = () =>
    new Promise<Submission>((resolve) => {
      wake = () => resolve(made.at(-1) as Submission);
    });
  return { one, next, made, events };
}

test("a burst of denials is one report with a proposal for each key, and nothing secret in it", async () => {
  const { one, next } = advisor();
  const submitted = next();
  for (let i = 0; i < 5; i++) one.observe(denied);
  one.observe({ ...denied, host: "other.example" });
  one.observe({ ...denied, action: "allowed" });
  const { stage: _stage, ...withoutStage } = denied;
  one.observe(withoutStage);
  const { actor: _actor, ...withoutActor } = denied;
  one.observe(withoutActor);
  const { summaries, chunks, overflow } = await submitted;
  one.stop();
  expect(summaries).toMatchObject([
    {
      host: "api.example",
      port: 443,
      binary: "/usr/bin/tool",
      count: 5,
      totalCount: 5,
      denialStage: "l4_deny",
      sampleCmdlines: ["tool --password [REDACTED]"],
    },
    { host: "other.example", count: 1 },
  ]);
  expect(chunks.map((chunk) => chunk.proposedRule?.endpoints[0]?.host)).toEqual(["api.example", "other.example"]);
  expect(chunks[0]?.denialSummaryIds).toEqual([summaries[0]!.id]);
  expect(chunks[0]?.firstSeenTime).toEqual(summaries[0]!.firstSeenTime!);
  expect(overflow).toBe(0);
  // As it goes over the wire.
  for (const summary of summaries) expect(toBinary(DenialSummarySchema, summary)).not.toBeEmpty();
  for (const chunk of chunks) expect(toBinary(PolicyChunkSchema, chunk)).not.toBeEmpty();
});

test("threat-29: a denied name is probed only in the hosts file and under the operator's suffixes", async () => {
  const asked: string[] = [];
  const { one, next } = advisor({
    probe: async (host) => {
      asked.push(host);
      return host === "db.internal" ? ["10.0.0.7"] : undefined;
    },
  });
  const submitted = next();
  one.observe({ ...denied, host: "db.internal", port: 5432 });
  one.observe({ ...denied, host: "10.0.0.9" });
  one.observe({ ...denied, host: "localhost" });
  one.observe({ ...denied, host: "rebound.example", stage: "ssrf", engine: "ssrf", code: "internal_address", address: "10.0.0.8" });
  const { summaries, chunks } = await submitted;
  one.stop();
  expect(asked).not.toContain("localhost");
  expect(summaries).toHaveLength(4);
  expect(summaries[3]?.resolvedIps).toEqual(["10.0.0.8"]);
  expect(chunks.map((chunk) => chunk.proposedRule?.endpoints[0]).map((endpoint) => [endpoint?.host, endpoint?.allowedIps])).toEqual([
    ["db.internal", ["10.0.0.7/32"]],
    ["10.0.0.9", []],
  ]);
});

test("what the gateway does not take is kept and said; what it has no room for is offered again", async () => {
  let attempts = 0;
  const submissions: Submission[] = [];
  let done: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const { one, events } = advisor({
    submit: async (submission) => {
      attempts++;
      submissions.push(submission);
      if (attempts === 1) {
        setImmediate(() => setImmediate(() => one.nudge()));
        throw new Error("connection refused");
      }
      if (attempts === 2) {
        setImmediate(() => setImmediate(() => one.nudge()));
        return { results: [{ chunkIndex: 0, code: "cap_reached", reason: "10 proposals are open" }] };
      }
      done();
      return { results: [{ chunkIndex: 0, code: "accepted", reason: "" }] };
    },
  });
  one.observe(denied);
  await finished;
  one.stop();
  expect(submissions.map(({ chunks }) => chunks.length)).toEqual([1, 1, 1]);
  expect(events).toMatchObject([{ kind: "config", message: expect.stringContaining("connection refused") }]);
});

test("a key that the policy allows by now is reported without a proposal; switched off, nothing is looked at", async () => {
  const policy = {
    version: 1,
    networkPolicies: {
      r: { name: "r", endpoints: [{ host: "api.example", ports: [443] }], binaries: [{ path: "/usr/bin/tool", selfOnly: true }] },
    },
  } as unknown as Policy;
  const { one, next, made } = advisor({ currentPolicy: () => policy });
  one.enabled = false;
  one.observe({ ...denied, host: "unseen.example" });
  one.enabled = true;
  const submitted = next();
  one.observe(denied);
  const { summaries, chunks } = await submitted;
  one.stop();
  expect(summaries.map(({ host }) => host)).toEqual(["api.example"]);
  expect(chunks).toEqual([]);
  expect(made).toHaveLength(1);
});

test("threat-30: a flood never blocks, and what was lost is counted", async () => {
  const { one, next } = advisor();
  const submitted = next();
  for (let i = 0; i < 20_000; i++) one.observe({ ...denied, host: `h${i}.example` });
  const { overflow, summaries } = await submitted;
  one.stop();
  expect(summaries.length).toBe(100);
  expect(overflow).toBe(20_000 - 250);
});
