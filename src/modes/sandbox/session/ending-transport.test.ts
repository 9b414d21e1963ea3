import { expect, test } from "bun:test";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { endingTransport } from "./ending-transport.ts";

/** Answers like a client whose connection was cut at the worst moment: never. */
const stuck: Transport = {
  unary: () => new Promise(() => {}),
  stream: async (method) => ({
    stream: true,
    service: method.parent,
    method: method as never,
    header: new Headers(),
    trailer: new Headers(),
    message: { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) },
  }),
};

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error) => ConnectError.from(error).code,
  );
async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}

test("calls and streams end with their connection", async () => {
  const { promise: lost, resolve } = Promise.withResolvers<void>();
  const client = createClient(OpenShell, endingTransport(stuck, lost));
  const calls = [codeOf(client.health({})), codeOf(drain(client.watchSandbox({})))];
  resolve();
  expect(await Promise.all(calls)).toEqual([Code.Unavailable, Code.Unavailable]);
});

test("a signal ends a stream that would not", async () => {
  const abort = new AbortController();
  const client = createClient(OpenShell, endingTransport(stuck, new Promise(() => {})));
  const stream = codeOf(drain(client.watchSandbox({}, { signal: abort.signal })));
  abort.abort();
  expect(await stream).toBe(Code.Canceled);
});
