import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AsyncQueue } from "../../../rpc/async-queue.ts";
import { GetInferenceBundleResponseSchema } from "../../../rpc/gen/openshell/inference/v1/bundle_pb.ts";
import { SandboxConfigSnapshotSchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  type GatewayMessage,
  ProviderEnvironmentSnapshotSchema,
  type SupervisorMessage,
  SupervisorMessageSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { SessionRegistry } from "./sessions.ts";

test("one configuration is on its way at a time, and the newest goes next", async () => {
  let version = 1;
  const registry = new SessionRegistry();
  registry.attach({
    instanceOf: () => "instance",
    configuration: () => ({
      sandboxConfig: create(SandboxConfigSnapshotSchema, { version }),
      providerEnvironment: create(ProviderEnvironmentSnapshotSchema),
      inferenceBundle: create(GetInferenceBundleResponseSchema),
    }),
    connected: () => {},
    disconnected: () => {},
    configResult: () => {},
    relayMessage: () => {},
  });
  const incoming = new AsyncQueue<SupervisorMessage>();
  const say = (payload: NonNullable<MessageInitShape<typeof SupervisorMessageSchema>["payload"]>) =>
    incoming.push(create(SupervisorMessageSchema, { payload }));
  say({ case: "hello", value: { sandboxId: "one", instanceId: "instance", supportsConfigPush: true } });
  const principal = { kind: "sandbox", token: "supervisor", sandboxId: "one", name: "one", workspace: "default" } as const;
  const messages = registry.connect(principal, incoming, new AbortController().signal);
  const next = async (): Promise<GatewayMessage["payload"]> => {
    const { value, done } = await messages.next();
    if (done === true) throw new Error("the session ended");
    return value.payload;
  };
  const first = await next();
  const bootstrap = first.case === "sessionAccepted" ? first.value.bootstrap : undefined;
  expect(bootstrap?.sandboxConfig?.version).toBe(1);

  // A pile of changes, and a command behind it.
  for (version = 2; version < 1000; version++) registry.pushConfig("one");
  registry.get("one")?.send({ case: "relayOpen", value: { channelId: "command" } });
  expect((await next()).case).toBe("relayOpen");

  say({ case: "configUpdateResult", value: { updateId: bootstrap?.updateId ?? "" } });
  const update = await next();
  expect(update.case === "configUpdate" && update.value.sandboxConfig?.version).toBe(1000);
  say({ case: "configUpdateResult", value: { updateId: update.case === "configUpdate" ? update.value.updateId : "" } });
  registry.get("one")?.send({ case: "relayOpen", value: { channelId: "another" } });
  expect((await next()).case).toBe("relayOpen");
  registry.endAll();
});

test("a session that cannot be begun is none", async () => {
  const registry = new SessionRegistry();
  let lost = 0;
  registry.attach({
    instanceOf: () => "instance",
    configuration: () => {
      throw new Error("the disk is full");
    },
    connected: () => {},
    disconnected: () => void lost++,
    configResult: () => {},
    relayMessage: () => {},
  });
  const incoming = new AsyncQueue<SupervisorMessage>();
  const hello = { sandboxId: "one", instanceId: "instance", supportsConfigPush: true };
  incoming.push(create(SupervisorMessageSchema, { payload: { case: "hello", value: hello } }));
  const principal = { kind: "sandbox", token: "supervisor", sandboxId: "one", name: "one", workspace: "default" } as const;
  await expect(registry.connect(principal, incoming, new AbortController().signal).next()).rejects.toThrow("the disk is full");
  expect([registry.get("one"), registry.size, lost]).toEqual([undefined, 0, 1]);
  registry.endAll();
});
