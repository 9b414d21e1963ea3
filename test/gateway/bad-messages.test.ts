/** Malformed and oversized messages on every method: a clear status, no crash, no growth. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { DescMethod } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { Health } from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { Inference } from "../../src/rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";
import { type CallError, type PlainClient, registeredClient, supervisorClient } from "./plain-grpc.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: bad messages: ${missing}`);

const MIB = 1024 * 1024;
/** No call may wait for its deadline: a bad message is answered. Milliseconds. */
const SOON = 10_000;

const UNREADABLE = /^(parse binary|protocol error|missing|premature|invalid)/;

const methods: readonly DescMethod[] = [OpenShell, Inference, Health, ServerReflection].flatMap(({ methods: own }) => own);
const streams = (method: DescMethod) => method.methodKind === "bidi_streaming" || method.methodKind === "client_streaming";

/** Reports and questions of supervisors. Its session and relays are not here: a second session takes the place of the first. */
const SUPERVISOR_METHODS: readonly DescMethod[] = methods.filter(({ name }) =>
  /^(Report|Finalize|GetSandboxProviderEnvironment|SubmitPolicyAnalysis|PushSandboxLogs|GetInferenceBundle|GetSandboxConfig$)/.test(name),
);

/** Bytes that no protobuf reader accepts, or that it accepts and no handler may trip over. */
const GARBAGE: readonly (readonly [string, Uint8Array])[] = [
  ["an invalid tag", Uint8Array.of(0x00)],
  ["a length beyond the end", Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07)],
  ["an unfinished varint", Uint8Array.of(0x08, 0xff, 0xff)],
  ["text that is not UTF-8", Uint8Array.of(0x0a, 0x02, 0xc3, 0x28)],
  ["groups within groups", new Uint8Array(20_000).fill(0x0b)],
  ["messages within messages", nested(5_000)],
  ["nothing", new Uint8Array()],
];

/** Field 1, again and again, each within the one before. */
function nested(depth: number): Uint8Array {
  let bytes = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) bytes = Buffer.concat([Buffer.of(0x0a, ...varint(bytes.length)), bytes]);
  return bytes;
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}

describe.skipIf(missing !== undefined)("bad messages", () => {
  let host: GatewayHost;
  let client: PlainClient;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    client = registeredClient(host);
  });
  afterAll(async () => {
    client[Symbol.dispose]();
    await host[Symbol.asyncDispose]();
  });

  const outcomeFor =
    (client: PlainClient) =>
    async (method: DescMethod, bytes: Uint8Array): Promise<{ code: status; details: string }> => {
      if (streams(method)) return await client.ending(method, bytes, SOON);
      if (method.methodKind === "server_streaming") return await client.ending(method, bytes, SOON);
      return await client.raw(method, bytes, SOON).then(
        () => ({ code: status.OK, details: "" }),
        (error: CallError) => ({ code: error.code, details: error.details }),
      );
    };

  test.each(methods.map((method) => [method.name, method] as const))("%s", async (_name, method) => check(client, method));

  /** What no person may call, a supervisor may. */
  test("the methods of supervisors, as a supervisor", async () => {
    const { sandbox } = await client.unary(OpenShell.method.createSandbox, { workspaceScope, name: "box", spec: {} });
    const id = sandbox?.metadata?.id ?? "";
    const ready = async () =>
      (await client.unary(OpenShell.method.getSandbox, { workspaceScope, name: "box" })).sandbox?.status?.phase === SandboxPhase.READY;
    await eventually("the sandbox to be ready", SOON * 3, async () => ((await ready()) ? true : undefined));
    using supervisor = supervisorClient(host, id);
    for (const method of SUPERVISOR_METHODS) await check(supervisor, method);
    expect(await ready()).toBe(true);
    await client.unary(OpenShell.method.deleteSandbox, { workspaceScope, name: "box" });
  }, 120_000);

  async function check(caller: PlainClient, method: DescMethod): Promise<void> {
    const outcome = outcomeFor(caller);
    for (const [what, bytes] of GARBAGE) {
      // A stream that waits for more after an acceptable first message is not at fault.
      if (what === "nothing" && method.methodKind !== "unary") continue;
      const { code, details } = await outcome(method, bytes);
      expect([what, status[code]]).not.toEqual([what, "DEADLINE_EXCEEDED"]);
      // As every gRPC server, INTERNAL means here that the bytes are not a message; ours alone would say no more than "internal error".
      if (code === status.INTERNAL) expect([what, details]).toEqual([what, expect.stringMatching(UNREADABLE)]);
      expect([what, status[code]]).not.toEqual([what, "UNKNOWN"]);
      expect(details).not.toMatch(/\bat .*\.[jt]s\b|\$bunfs|node_modules/);
    }
    const limit = method.name.startsWith("ExecSandbox") ? 5 * MIB : MIB;
    const { code, details } = await outcome(method, new Uint8Array(limit + 1));
    // Who may not call, and what is not there, is told so before the message is looked at.
    if (code !== status.PERMISSION_DENIED && code !== status.UNIMPLEMENTED) {
      expect([method.name, status[code]]).toEqual([method.name, "RESOURCE_EXHAUSTED"]);
      expect(details).toContain(String(limit));
    }
  }

  test("the gateway is as it was", async () => {
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${host.pid}/status`, "utf8"))?.[1]) * 1024;
    const outcome = outcomeFor(client);
    const flood = async (count: number) => {
      for (let sent = 0; sent < count; sent++) await outcome(OpenShell.method.createSandbox, new Uint8Array(MIB));
    };
    await flood(40);
    const before = memory();
    await flood(200);
    expect(memory() - before).toBeLessThan(64 * MIB);
    expect((await client.unary(OpenShell.method.health, {})).version).not.toBe("");
    expect(host.log).toBe("");
  });
});
