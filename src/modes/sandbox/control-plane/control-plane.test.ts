import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import {
  GetSandboxRequestSchema,
  HealthResponseSchema,
  OpenShell,
  SandboxResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { Flag, FrameType, frame, PREFACE, settingsFrame } from "../proxy/http2/frames.ts";
import type { DecodedBlock, RawField } from "../proxy/http2/hpack-decoder.ts";
import { Http2Session, type SessionHost } from "../proxy/http2/session.ts";
import type { ByteSocket } from "../proxy/relay.ts";
import { SandboxCa } from "../proxy/tls/sandbox-ca.ts";
import { AgentToken } from "./agent-token.ts";
import { CallLimit } from "./call-limit.ts";
import { controlPlane } from "./entrance.ts";
import { readMessage, statusFields, timeoutOf, writeMessage } from "./grpc-message.ts";
import { AGENT_METHODS } from "./methods.ts";
import { AgentRelay } from "./relay.ts";

test("the four methods that the option names, and no other", () => {
  expect([...AGENT_METHODS.keys()].sort()).toEqual(
    ["GetDraftPolicy", "GetSandbox", "GetSandboxConfig", "Health"].map((name) => `/openshell.v1.OpenShell/${name}`),
  );
});

describe("messages of gRPC", () => {
  test.each([
    ["empty", Buffer.alloc(0), "no message"],
    ["half a prefix", Buffer.alloc(4), "no message"],
    ["compressed", Buffer.from([1, 0, 0, 0, 0]), "compressed"],
    ["too short", Buffer.from([0, 0, 0, 0, 2, 7]), "exactly one"],
    ["two", Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), "exactly one"],
    ["an impossible length", Buffer.from([0, 255, 255, 255, 255]), "exactly one"],
  ])("%s is refused", (_, body, why) => expect(readMessage(body)).toContain(why));
  test("what is written can be read", () => expect(readMessage(writeMessage(Buffer.from("abc")))).toEqual(Buffer.from("abc")));
  test("a status message is escaped", () => {
    expect(statusFields({ code: 7, message: "ä%\n" })).toEqual([
      ["grpc-status", "7"],
      ["grpc-message", "%C3%A4%25%0A"],
    ]);
  });
  test.each([
    ["20S", 20_000],
    ["5m", 5],
    ["1H", 3_600_000],
    ["", undefined],
    ["123456789S", undefined],
    ["1x", undefined],
  ])("grpc-timeout %s", (text, milliseconds) => expect(timeoutOf(text)).toBe(milliseconds as number));
});

test("a token is asked for once, again at half its life, and again after a failure", async () => {
  let now = 0;
  let asked = 0;
  let fails = true;
  const token = new AgentToken(
    async () => {
      asked++;
      if (fails) throw new Error("away");
      return `token-${asked}`;
    },
    () => now,
  );
  await expect(token.get()).rejects.toThrow("away");
  fails = false;
  expect(await Promise.all([token.get(), token.get()])).toEqual(["token-2", "token-2"]);
  now = 30 * 60 * 1000;
  expect(await token.get()).toBe("token-3");
  token.forget();
  expect(await token.get()).toBe("token-4");
});

test("calls are limited at once and over time", () => {
  let now = 0;
  const limit = new CallLimit(() => now);
  for (let i = 0; i < 8; i++) expect(limit.begin()).toBeUndefined();
  expect(limit.begin()).toContain("8 calls");
  limit.ended();
  for (let i = 0; i < 92; i++) {
    expect(limit.begin()).toBeUndefined();
    limit.ended();
  }
  expect(limit.begin()).toContain("100");
  now = 1000;
  for (let i = 0; i < 20; i++) {
    expect(limit.begin()).toBeUndefined();
    limit.ended();
  }
  expect(limit.begin()).toContain("20 per second");
});

/** A gateway that records what reaches it and answers with what it is told. */
class Upstream {
  readonly seen: { method: string; headers: Headers; message: unknown }[] = [];
  answer: () => unknown = () => create(SandboxResponseSchema, { sandbox: { metadata: { name: "own" } } });
  readonly connect = (interceptors: Interceptor[]): Transport => ({
    unary: async (method, signal, _timeout, _header, input) => {
      const request = { stream: false, service: method.parent, method, message: input, header: new Headers(), signal } as never;
      const next = async ({ header, message }: { header: Headers; message: unknown }) => {
        this.seen.push({ method: method.name, headers: header, message });
        return { stream: false, header: new Headers(), trailer: new Headers(), method, message: this.answer() } as never;
      };
      const chain = interceptors.reduceRight<(request: never) => Promise<never>>(
        (rest, interceptor) => interceptor(rest as never) as unknown as (request: never) => Promise<never>,
        next as never,
      );
      return await chain(request);
    },
    stream: () => Promise.reject(new Error("no streams")),
  });
}

/** A client of the connection, frames and all, without a socket between. */
function client(relay: AgentRelay) {
  const toServer: Buffer[] = [];
  let written: Buffer[] = [];
  let closed = false;
  const blocked = { value: false };
  const end = () => {
    closed = true;
  };
  const socket: ByteSocket = {
    write: (bytes) => {
      if (blocked.value) return 0;
      written.push(Buffer.from(bytes));
      return bytes.length;
    },
    shutdown() {},
    end,
    terminate: end,
    pause() {},
    resume() {},
  };
  const called: string[] = [];
  const plane = controlPlane(17_670, relay, new SandboxCa());
  const host = {
    lasts() {},
    called: (_: string, path: string, { code }: { code: number }) => void called.push(`${path} ${code}`),
    ended() {},
  };
  const connection = plane.open(socket, 10_000, host);
  if (connection === undefined) throw new Error("not entered");
  const answers = new Map<number, { fields: RawField[]; body: Buffer; done: boolean }>();
  const sessionHost: SessionHost = {
    send: (bytes) => void toServer.push(bytes),
    writable: true,
    opened() {},
    capacity() {},
    failed() {},
  };
  const session = new Http2Session("client", sessionHost, () => 0);
  const pump = async (until: () => boolean) => {
    for (let turns = 0; turns < 2000 && !until(); turns++) {
      session.flush();
      for (const bytes of toServer.splice(0)) connection.clientData(bytes);
      const received = written;
      written = [];
      for (const bytes of received) session.receive(bytes);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!until()) throw new Error("nothing came");
  };
  return {
    connection,
    called,
    blocked,
    get closed() {
      return closed;
    },
    written: () => Buffer.concat(written).toString("latin1"),
    async call(path: string, message: Uint8Array, fields: RawField[] = [], method = "POST") {
      const head: RawField[] = [
        [":method", method],
        [":scheme", "https"],
        [":path", path],
        [":authority", "gateway.openshell.internal:17670"],
        ["content-type", "application/grpc"],
        ["te", "trailers"],
        ...fields,
      ];
      const answer = { fields: [] as RawField[], body: Buffer.alloc(0), done: false };
      await pump(() => session.hasRoom);
      const stream = session.request(head, false, {
        block(block: DecodedBlock, last) {
          answer.fields.push(...block.fields);
          answer.done ||= last;
        },
        data(bytes, last) {
          answer.body = Buffer.concat([answer.body, bytes]);
          stream?.consume(bytes.length);
          answer.done ||= last;
        },
        closed() {
          answer.done = true;
        },
        progress() {},
        finished() {},
      });
      if (stream === undefined) throw new Error("no room");
      answers.set(stream.id, answer);
      stream.write(writeMessage(message));
      stream.end();
      await pump(() => answer.done);
      return { body: answer.body, fields: new Map(answer.fields) };
    },
  };
}

describe("a call from inside", () => {
  const request = toBinary(GetSandboxRequestSchema, create(GetSandboxRequestSchema, { name: "own" }));
  const path = "/openshell.v1.OpenShell/GetSandbox";

  test("goes on with our token and nothing that the caller sent but its message", async () => {
    const upstream = new Upstream();
    const inside = client(new AgentRelay({ connect: upstream.connect, issueToken: async () => "the-agent-token" }));
    const unknownField = Buffer.from([0xfa, 0x01, 1, 0x41]); // number 31
    const { fields, body } = await inside.call(path, Buffer.concat([request, unknownField]), [
      ["authorization", "Bearer stolen"],
      ["cookie", "a=b"],
      ["x-forwarded-client-cert", "CN=root"],
    ]);
    expect([fields.get(":status"), fields.get("grpc-status")]).toEqual(["200", "0"]);
    expect(readMessage(body)).toEqual(Buffer.from(toBinary(SandboxResponseSchema, upstream.answer() as never)));
    expect(upstream.seen).toHaveLength(1);
    expect([...(upstream.seen[0]?.headers ?? [])]).toEqual([["authorization", "Bearer the-agent-token"]]);
    expect(toBinary(GetSandboxRequestSchema, upstream.seen[0]?.message as never)).toEqual(request);
    expect(inside.called).toEqual([`${path} 0`]);
  });

  test("is not made without a token", async () => {
    const upstream = new Upstream();
    const issueToken = () => Promise.reject(new ConnectError("the gateway is away", Code.Unavailable));
    const { fields } = await client(new AgentRelay({ connect: upstream.connect, issueToken })).call(path, request);
    expect(fields.get("grpc-status")).toBe("14");
    expect(upstream.seen).toEqual([]);
  });

  test.each([
    ["another method", "/openshell.v1.OpenShell/ApproveDraftChunk", "7"],
    ["another service", "/openshell.inference.v1.Inference/GetInferenceBundle", "7"],
    ["another spelling", "/openshell.v1.OpenShell/getSandbox", "7"],
    ["a message of another kind", path, "3"],
  ])("%s is refused and nothing reaches the gateway", async (what, to, status) => {
    const upstream = new Upstream();
    const inside = client(new AgentRelay({ connect: upstream.connect, issueToken: async () => "t" }));
    const { fields } = await inside.call(to, what.startsWith("a message") ? Buffer.from([0x0a, 0xff]) : request);
    expect(fields.get("grpc-status")).toBe(status);
    expect(upstream.seen).toEqual([]);
  });

  test("a refusal of our own token is no answer about the caller, and a new one is asked for", async () => {
    const upstream = new Upstream();
    let issued = 0;
    const relay = new AgentRelay({ connect: upstream.connect, issueToken: async () => `token-${++issued}` });
    upstream.answer = () => {
      throw new ConnectError("the bearer token is not valid", Code.Unauthenticated);
    };
    expect((await client(relay).call(path, request)).fields.get("grpc-status")).toBe("14");
    upstream.answer = () => create(SandboxResponseSchema);
    expect((await client(relay).call(path, request)).fields.get("grpc-status")).toBe("0");
    expect(issued).toBe(2);
  });

  test("a request that is too large, and one that is no gRPC", async () => {
    const relay = new AgentRelay({ connect: new Upstream().connect, issueToken: async () => "t" });
    const { fields } = await client(relay).call(path, Buffer.alloc(20_000));
    expect(fields.get("grpc-status")).toBe("8");
    const page = await client(relay).call("/metrics", Buffer.alloc(0), [], "GET");
    expect([page.fields.get(":status"), page.body.toString().includes("permission_denied")]).toEqual(["403", true]);
  });

  test("a client that reads nothing is given up before its acknowledgements fill our memory", () => {
    const relay = new AgentRelay({ connect: new Upstream().connect, issueToken: async () => "t" });
    const inside = client(relay);
    inside.connection.clientData(Buffer.concat([PREFACE, settingsFrame([])]));
    inside.blocked.value = true;
    const pings = Buffer.concat(Array.from({ length: 100 }, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))));
    const headers = (id: number) => frame(FrameType.headers, Flag.endHeaders | Flag.endStream, id, Buffer.from([0x83]));
    let sent = 0;
    for (let id = 1; !inside.closed && id < 40_001; id += 2, sent++) inside.connection.clientData(headers(id));
    inside.connection.clientData(pings);
    expect(inside.closed).toBe(true);
    expect(sent).toBeLessThan(20_000);
  });

  test("HTTP/1 is told what is spoken here, and no more connections than 32 are entered", async () => {
    const relay = new AgentRelay({ connect: new Upstream().connect, issueToken: async () => "t" });
    const inside = client(relay);
    inside.connection.clientData(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    expect([inside.closed, inside.written().startsWith("HTTP/1.1 403 ")]).toEqual([true, true]);
    const plane = controlPlane(1, relay, new SandboxCa());
    const socket: ByteSocket = { write: (b) => b.length, shutdown() {}, end() {}, terminate() {}, pause() {}, resume() {} };
    const host = { lasts() {}, called() {}, ended() {} };
    const entered = Array.from({ length: 32 }, () => plane.open(socket, 1, host));
    expect(plane.open(socket, 1, host)).toBeUndefined();
    entered[0]?.clientClosed(undefined);
    expect(plane.open(socket, 1, host)).toBeDefined();
  });
});

test("the answer of Health is relayed as it is", async () => {
  const upstream = new Upstream();
  upstream.answer = () => create(HealthResponseSchema, { version: "x" });
  const relay = new AgentRelay({ connect: upstream.connect, issueToken: async () => "t" });
  const { method } = OpenShell;
  const { body } = await client(relay).call(`/${method.health.parent.typeName}/Health`, Buffer.alloc(0));
  expect(readMessage(body)).toEqual(Buffer.from(toBinary(HealthResponseSchema, upstream.answer() as never)));
});
