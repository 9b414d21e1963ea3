import { describe, expect, test } from "bun:test";
import { ChunkLifetime } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { failure, first, Gateway, plain, ruleOf } from "./drafts.test-support.ts";
import { oneTimeRules, sessionOver } from "./lifetime.ts";

const HOST = "cdn.example.net";

function gateway(): Gateway {
  const made = new Gateway();
  made.names.set(HOST, ["151.101.1.10"]);
  return made;
}

async function approved(on: Gateway, lifetime: ChunkLifetime, host = HOST): Promise<string> {
  const chunkId = await on.propose(plain(host));
  await on.person("approveDraftChunk", { chunkId, lifetime });
  return chunkId;
}

const grants = (on: Gateway) => oneTimeRules(on.drafts.repository, "sb-1");
const hosts = (on: Gateway) => Object.values(on.policy.networkPolicies).flatMap(({ endpoints }) => endpoints.map(({ host }) => host));

describe("an approval for one request", () => {
  test("names its rule and a grant; the report of that grant ends it, and is heard twice", async () => {
    const on = gateway();
    const id = await approved(on, ChunkLifetime.ONCE);
    expect((await on.chunk(id)).lifetime).toBe(ChunkLifetime.ONCE);
    const grant = first(grants(on));
    expect(Object.keys(on.policy.networkPolicies)).toEqual([grant.rule]);
    await on.supervisor("reportOneTimeRuleUsed", { grantId: "another" });
    expect(hosts(on)).toEqual([HOST]);
    const { version } = on;
    await on.supervisor("reportOneTimeRuleUsed", { grantId: grant.grantId });
    await on.supervisor("reportOneTimeRuleUsed", { grantId: grant.grantId });
    expect([hosts(on), on.version, on.pushed.at(-1)]).toEqual([[], version + 1, version + 1]);
    expect((await on.chunk(id)).status).toBe("expired");
    expect(grants(on)).toEqual([]);
    const { entries } = await on.person("getDraftHistory");
    expect(entries.at(-1)).toMatchObject({ eventType: "ended", actor: "gateway", oldStatus: "approved", newStatus: "expired" });
  });

  test("the next denial is a new proposal, and its approval another grant", async () => {
    const on = gateway();
    const id = await approved(on, ChunkLifetime.ONCE);
    const before = first(grants(on)).grantId;
    await on.supervisor("reportOneTimeRuleUsed", { grantId: before });
    const again = await approved(on, ChunkLifetime.ONCE);
    expect(again).not.toBe(id);
    expect(first(grants(on)).grantId).not.toBe(before);
    await on.supervisor("reportOneTimeRuleUsed", { grantId: before });
    expect(hosts(on)).toEqual([HOST]);
  });

  test("undone before it was used: a late report ends nothing, also after it was approved again", async () => {
    const on = gateway();
    const chunkId = await approved(on, ChunkLifetime.ONCE);
    const { grantId } = first(grants(on));
    await on.person("undoDraftChunk", { chunkId });
    expect([(await on.chunk(chunkId)).lifetime, grants(on)]).toEqual([ChunkLifetime.ALWAYS, []]);
    await on.person("approveDraftChunk", { chunkId, lifetime: ChunkLifetime.ALWAYS });
    await on.supervisor("reportOneTimeRuleUsed", { grantId });
    expect([(await on.chunk(chunkId)).status, hosts(on)]).toEqual(["approved", [HOST]]);
  });

  test("what a person added to the policy meanwhile stays", async () => {
    const on = gateway();
    await approved(on, ChunkLifetime.ONCE);
    on.setPolicy({
      ...on.policy,
      networkPolicies: { ...on.policy.networkPolicies, mine: ruleOf("mine", [["a.example", 443]], ["/usr/bin/curl"]) },
    });
    await on.supervisor("reportOneTimeRuleUsed", { grantId: first(grants(on)).grantId });
    expect(hosts(on)).toEqual(["a.example"]);
  });

  test("ends under a policy for all sandboxes too", async () => {
    const on = gateway();
    await approved(on, ChunkLifetime.ONCE);
    on.globalPolicy = true;
    await on.supervisor("reportOneTimeRuleUsed", { grantId: first(grants(on)).grantId });
    expect(hosts(on)).toEqual([]);
  });
});

describe("an approval for a session", () => {
  test("ends with it, and an unused approval for one request with it; one that lasts stays", async () => {
    const on = gateway();
    for (const name of ["b.example.net", "c.example.net"]) on.names.set(name, ["151.101.1.11"]);
    const session = await approved(on, ChunkLifetime.SESSION);
    const once = await approved(on, ChunkLifetime.ONCE, "b.example.net");
    const always = await approved(on, ChunkLifetime.ALWAYS, "c.example.net");
    sessionOver(on.drafts, "sb-1");
    const { version } = on;
    sessionOver(on.drafts, "sb-1");
    expect(on.version).toBe(version);
    const statuses = await Promise.all([session, once, always].map(async (id) => (await on.chunk(id)).status));
    expect([statuses, hosts(on)]).toEqual([["expired", "expired", "approved"], ["c.example.net"]]);
  });
});

test("a lifetime that does not exist is refused, and an ended approval cannot be undone", async () => {
  const on = gateway();
  const chunkId = await on.propose(plain(HOST));
  expect((await failure(on.person("approveDraftChunk", { chunkId, lifetime: 99 }))).code).toBe("invalid_argument");
  await on.person("approveDraftChunk", { chunkId, lifetime: ChunkLifetime.SESSION });
  sessionOver(on.drafts, "sb-1");
  expect((await failure(on.person("undoDraftChunk", { chunkId }))).message).toContain("'expired'");
});
