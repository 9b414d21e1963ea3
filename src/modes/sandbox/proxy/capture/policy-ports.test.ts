import { expect, test } from "bun:test";
import type { SecurityEvent } from "../../../../events/event.ts";
import type { Policy } from "../../../../policy/model.ts";
import { MAX_PORTS, PolicyPorts } from "./policy-ports.ts";

const policy = (...ports: number[]) => ({ networkPolicies: { rule: { endpoints: [{ ports }] } } }) as unknown as Policy;

function open(listen: (ports: readonly number[]) => Promise<readonly number[]> = async (ports) => ports) {
  const events: SecurityEvent[] = [];
  const captured: number[] = [];
  const ports = new PolicyPorts({ listen, capture: (fds) => captured.push(...fds), emit: (event) => events.push(event) });
  return { ports, events, captured };
}

test("the usual ports and the policy's, each once, later ones added; the proxy's own never", async () => {
  const { ports, events, captured } = open();
  await ports.cover(policy(22, 443, 3128));
  expect(captured).toEqual([53, 80, 443, 22]);
  await ports.cover(policy(22, 5432));
  await ports.cover(policy());
  expect(captured).toEqual([53, 80, 443, 22, 5432]);
  expect(events).toEqual([]);
});

test("two policies in quick succession do not listen twice", async () => {
  const { ports, captured } = open(async (list) => {
    await Bun.sleep(1);
    return list;
  });
  await Promise.all([ports.cover(policy(22)), ports.cover(policy(22, 23))]);
  expect(captured).toEqual([53, 80, 443, 22, 23]);
});

test("a failure is told and tried again with the next policy; more ports than the limit are told", async () => {
  let fails = true;
  const { ports, events, captured } = open(async (list) => {
    if (fails) throw new Error("no");
    return list;
  });
  await ports.cover(policy(22));
  expect(events).toMatchObject([{ id: "direct-ports-incomplete" }]);
  fails = false;
  await ports.cover(policy(...Array.from({ length: 1000 }, (_, index) => 1000 + index)));
  expect(captured).toHaveLength(MAX_PORTS);
  expect(events).toHaveLength(2);
});
