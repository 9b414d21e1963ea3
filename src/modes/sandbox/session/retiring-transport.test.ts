import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { ExecSandboxEventSchema, HealthResponseSchema, OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { retiringTransport } from "./retiring-transport.ts";

function open() {
  const more = Promise.withResolvers<void>();
  let closed = 0;
  const inner = createRouterTransport(({ service }) =>
    service(OpenShell, {
      health: () => create(HealthResponseSchema),
      async *execSandbox() {
        yield create(ExecSandboxEventSchema);
        await more.promise;
      },
    }),
  );
  const { transport, retire } = retiringTransport(inner, () => closed++);
  return { client: createClient(OpenShell, transport), retire, finish: () => more.resolve(), closed: () => closed };
}

test("one that is not used is closed when it is retired, and once", async () => {
  const { client, retire, closed } = open();
  await client.health({});
  expect(closed()).toBe(0);
  retire();
  retire();
  expect(closed()).toBe(1);
});

test("a call that runs keeps it open until it ends", async () => {
  const { client, retire, finish, closed } = open();
  const events = client.execSandbox({})[Symbol.asyncIterator]();
  expect((await events.next()).done).toBe(false);
  retire();
  expect(closed()).toBe(0);
  finish();
  expect((await events.next()).done).toBe(true);
  expect(closed()).toBe(1);
});

test("a call that its caller leaves, or that fails, does not keep it open", async () => {
  const { client, retire, closed } = open();
  const abort = new AbortController();
  for await (const _ of client.execSandbox({}, { signal: abort.signal })) break;
  abort.abort();
  await expect(client.listSandboxes({})).rejects.toThrow();
  retire();
  expect(closed()).toBe(1);
});
