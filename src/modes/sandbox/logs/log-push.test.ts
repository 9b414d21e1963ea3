import { expect, test } from "bun:test";
import type { NetworkEvent } from "../../../events/event.ts";
import type { PushSandboxLogsRequest } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayClient } from "../session/gateway-client.ts";
import { LogPush } from "./log-push.ts";

/** The one method that is called, collecting what a gateway would get. */
function receiver(): { readonly client: GatewayClient; readonly lines: string[] } {
  const lines: string[] = [];
  const pushSandboxLogs = async (batches: AsyncIterable<PushSandboxLogsRequest>) => {
    for await (const { logs } of batches) lines.push(...logs.map(({ message }) => message));
  };
  return { client: { pushSandboxLogs } as unknown as GatewayClient, lines };
}

function connection(action: "allowed" | "denied", time: number): NetworkEvent {
  const severity = action === "allowed" ? "informational" : "medium";
  return { kind: "network", activity: "open", action, severity, time, host: "a.example", port: 443, protocol: "tcp", engine: "opa" };
}

test("a flood of allowed connections is counted, and no denial is held back", async () => {
  const { client, lines } = receiver();
  const push = new LogPush(client, "id");
  push.connected = true;
  for (let i = 0; i < 1000; i++) {
    push.observe(connection("allowed", 1000));
    await push.flush();
  }
  push.observe(connection("denied", 1000));
  await push.flush();
  expect(lines.filter((line) => line.includes("ALLOWED"))).toHaveLength(200);
  expect(lines.at(-2)).toBe("800 allowed connections and requests are only in the sandbox's own log");
  expect(lines.at(-1)).toContain("DENIED");
});

test("a second later there is room again", async () => {
  const { client, lines } = receiver();
  const push = new LogPush(client, "id");
  push.connected = true;
  for (let i = 0; i < 300; i++) push.observe(connection("allowed", 1000));
  for (let i = 0; i < 300; i++) push.observe(connection("allowed", 2000));
  await push.flush();
  while (lines.length < 200) await push.flush();
  expect(lines.some((line) => line.startsWith("100 allowed connections"))).toBe(true);
});

test("without a session the newest lines are kept, and sent with the next one", async () => {
  const { client, lines } = receiver();
  const push = new LogPush(client, "id");
  for (let i = 0; i < 500; i++) push.observe({ ...connection("denied", 1000), host: `h${i}.example` });
  await push.flush();
  expect(lines).toEqual([]);
  push.connected = true;
  await push.flush();
  expect(lines).toHaveLength(201);
  expect(lines[0]).toBe("300 lines from before are only in the sandbox's own log");
  expect(lines.at(-1)).toContain("h499.example");
});

test("the last lines go behind a batch that is under way", async () => {
  const lines: string[] = [];
  const underWay = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const pushSandboxLogs = async (batches: AsyncIterable<PushSandboxLogsRequest>) => {
    for await (const { logs } of batches) lines.push(...logs.map(({ message }) => message));
    underWay.resolve();
    await answered.promise;
  };
  const push = new LogPush({ pushSandboxLogs } as unknown as GatewayClient, "id");
  push.connected = true;
  push.observe(connection("denied", 1));
  void push.flush();
  await underWay.promise;
  push.observe(connection("denied", 2));
  const finished = push.finish();
  answered.resolve();
  await finished;
  expect(lines).toHaveLength(2);
});
