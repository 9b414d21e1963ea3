/** Bad requests below the messages: frames, encodings, content types, on every method over every protocol. A clear status, no crash, no growth. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, type DescMethod, fromBinary, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Health } from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../src/rpc/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Inference } from "../../src/rpc/gen/openshell/inference/v1/inference_pb.ts";
import { CreateSandboxRequestSchema, OpenShell, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";
import { pathOf, registeredClient } from "./plain-grpc.ts";
import { type Came, frame, Wire } from "./wire.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: bad requests on the wire: ${missing}`);

const MIB = 1024 * 1024;
/** No bad request may be left without an answer. Milliseconds. */
const SOON = 20_000;

/** Over a thousand requests, some of which are 64 MiB when unpacked, on a machine that does other things too. Milliseconds. */
const LONG = 600_000;

const methods: readonly DescMethod[] = [OpenShell, Inference, Health, ServerReflection, ServerReflectionAlpha].flatMap(
  ({ methods: own }) => own,
);

/** A small message that takes 64 MiB when it is unpacked: one field of zeros, over and over. */
const BOMB = gzipSync(Buffer.alloc(64 * MIB));
/** Field 1 with no bytes, as often as a message may hold it. */
const MANY_FIELDS = Buffer.alloc(MIB - 2, Buffer.of(0x0a, 0x00));
const NOT_UTF8 = Buffer.of(0x0a, 0x02, 0xc3, 0x28);
const EMPTY = new Uint8Array();

/** A message to a method that has no such field, or that may have it: what comes of it is up to the method, and is said clearly. */
const ANY = "any";

interface Bad {
  readonly what: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Codes that say what is wrong, beside those of who may call what. */
  readonly codes: readonly Code[] | typeof ANY;
  /** For streams alone, or for single requests alone. */
  readonly only?: "stream" | "unary";
}

const gzip = { "grpc-encoding": "gzip" };
/** In frames: gRPC, and gRPC-Web, whose body is the same. */
const FRAMED: readonly Bad[] = [
  { what: "cut in the prefix", headers: {}, body: Buffer.of(0, 0, 0), codes: [Code.Internal, Code.InvalidArgument, Code.DataLoss] },
  {
    what: "cut in the message",
    headers: {},
    body: frame(Buffer.of(8), 0, 100),
    codes: [Code.Internal, Code.InvalidArgument, Code.DataLoss],
  },
  { what: "longer than allowed, as said", headers: {}, body: frame(EMPTY, 0, 0xffff_ffff), codes: [Code.ResourceExhausted] },
  { what: "nothing at all", headers: {}, body: EMPTY, codes: [Code.Unimplemented, Code.InvalidArgument, Code.Internal], only: "unary" },
  {
    what: "two messages for one",
    headers: {},
    body: Buffer.concat([frame(EMPTY), frame(EMPTY)]),
    codes: [Code.Unimplemented, Code.InvalidArgument],
    only: "unary",
  },
  { what: "packed without saying how", headers: {}, body: frame(gzipSync(EMPTY), 1), codes: [Code.Internal, Code.InvalidArgument] },
  { what: "packed as nobody knows", headers: { "grpc-encoding": "zz" }, body: frame(EMPTY, 1), codes: [Code.Unimplemented] },
  { what: "packed badly", headers: gzip, body: frame(Buffer.from("no gzip"), 1), codes: [Code.Internal, Code.InvalidArgument] },
  {
    what: "packed and cut",
    headers: gzip,
    body: frame(gzipSync(Buffer.alloc(9000)).subarray(0, 20), 1),
    codes: [Code.Internal, Code.InvalidArgument],
  },
  { what: "a bomb", headers: gzip, body: frame(BOMB, 1), codes: [Code.ResourceExhausted] },
  { what: "unknown flags", headers: {}, body: frame(EMPTY, 0x7c), codes: ANY, only: "unary" },
  { what: "text that is not UTF-8", headers: {}, body: frame(NOT_UTF8), codes: ANY, only: "unary" },
  { what: "half a million empty fields", headers: {}, body: frame(MANY_FIELDS), codes: ANY, only: "unary" },
  {
    what: "a deadline that is none",
    headers: { "grpc-timeout": "soon" },
    body: frame(EMPTY),
    codes: [Code.InvalidArgument, Code.Internal],
    only: "unary",
  },
];
const DEEP_JSON = Buffer.from(`{"spec":{"template":{"resources":${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}}}}`);
/** As they are: Connect's single requests. */
const PLAIN: readonly Bad[] = [
  {
    what: "no message",
    headers: { "content-type": "application/proto" },
    body: Buffer.of(0),
    codes: [Code.InvalidArgument, Code.Internal],
  },
  { what: "not UTF-8", headers: { "content-type": "application/proto" }, body: NOT_UTF8, codes: ANY },
  {
    what: "half a million empty fields",
    headers: { "content-type": "application/proto" },
    body: MANY_FIELDS,
    codes: ANY,
  },
  {
    what: "too long",
    headers: { "content-type": "application/proto" },
    body: new Uint8Array(5 * MIB + 1),
    codes: [Code.ResourceExhausted],
  },
  { what: "JSON that is none", headers: { "content-type": "application/json" }, body: Buffer.from("{"), codes: [Code.InvalidArgument] },
  {
    what: "JSON that is not UTF-8",
    headers: { "content-type": "application/json" },
    body: Buffer.of(0x22, 0xc3, 0x28, 0x22),
    codes: [Code.InvalidArgument],
  },
  {
    what: "JSON of another kind",
    headers: { "content-type": "application/json" },
    body: Buffer.from('[{"x":1}]'),
    codes: [Code.InvalidArgument],
  },
  {
    what: "deep JSON",
    headers: { "content-type": "application/json" },
    body: DEEP_JSON,
    codes: ANY,
  },
  {
    what: "deep JSON lists",
    headers: { "content-type": "application/json" },
    body: Buffer.from("[".repeat(500_000)),
    codes: [Code.InvalidArgument],
  },
  {
    what: "packed badly",
    headers: { "content-type": "application/proto", "content-encoding": "gzip" },
    body: Buffer.from("no gzip"),
    codes: [Code.InvalidArgument, Code.Internal],
  },
  {
    what: "packed as nobody knows",
    headers: { "content-type": "application/proto", "content-encoding": "zz" },
    body: EMPTY,
    codes: [Code.Unimplemented],
  },
  {
    what: "a bomb",
    headers: { "content-type": "application/proto", "content-encoding": "gzip" },
    body: BOMB,
    codes: [Code.ResourceExhausted],
  },
  {
    what: "another version",
    headers: { "content-type": "application/proto", "connect-protocol-version": "9" },
    body: EMPTY,
    codes: ANY,
  },
];

/** Of who may call what, and of what is not there: told before the message is looked at. */
const BEFORE = new Set([Code.PermissionDenied, Code.Unimplemented]);

const unary = (method: DescMethod) => method.methodKind === "unary";
const fits =
  (method: DescMethod) =>
  ({ only }: Bad) =>
    only === undefined || (only === "unary") === unary(method);

function grpcCode({ headers, trailers, body }: Came, web: boolean): Code | undefined {
  const own =
    trailers["grpc-status"] ?? headers["grpc-status"] ?? (web ? /grpc-status: ?(\d+)/i.exec(body.toString("latin1"))?.[1] : undefined);
  return own === undefined ? undefined : (Number(own) as Code);
}

/** Connect says codes by name. */
function connectCode(name: unknown): Code | undefined {
  const found = Object.entries(Code).find(([key]) => key.replace(/(?<=.)([A-Z])/g, "_$1").toLowerCase() === name);
  return found === undefined ? undefined : (found[1] as Code);
}

describe.skipIf(missing !== undefined)("bad requests on the wire", () => {
  let host: GatewayHost;
  let person: Wire;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    person = new Wire(host);
  });
  afterAll(async () => {
    person?.[Symbol.dispose]();
    await host?.[Symbol.asyncDispose]();
  });

  const isClear = (about: readonly string[], code: Code | undefined, { codes }: Pick<Bad, "codes">, came: Came): void => {
    const shown = [...about, code === undefined ? `HTTP ${came.http} ${came.body.subarray(0, 200)}` : (Code[code] ?? String(code))];
    const wanted = codes === ANY ? code !== Code.Unknown : code !== undefined && (codes.includes(code) || BEFORE.has(code));
    expect([...shown, wanted]).toEqual([...shown, true]);
    const said = JSON.stringify([came.headers, came.trailers]) + came.body.toString("latin1");
    expect(said).not.toMatch(/\bat .*\.[jt]s\b|\$bunfs|node_modules/);
  };

  async function framed(wire: Wire, method: DescMethod): Promise<void> {
    for (const [protocol, type] of [
      ["gRPC", "application/grpc"],
      ["gRPC-Web", "application/grpc-web+proto"],
    ] as const) {
      for (const bad of FRAMED.filter(fits(method))) {
        const came = await wire.post(pathOf(method), { "content-type": type, ...bad.headers }, bad.body, SOON);
        isClear([protocol, bad.what], grpcCode(came, protocol === "gRPC-Web"), bad, came);
      }
    }
  }

  async function byConnect(wire: Wire, method: DescMethod): Promise<void> {
    if (!unary(method)) {
      for (const bad of FRAMED.filter(fits(method))) {
        const encoding = bad.headers["grpc-encoding"];
        const headers = {
          "content-type": "application/connect+proto",
          ...(encoding === undefined ? {} : { "connect-content-encoding": encoding }),
        };
        const came = await wire.post(pathOf(method), headers, bad.body, SOON);
        // Its last frame says how it ended; before the stream began, the body does.
        const end = JSON.parse(came.body.toString("utf8").slice(came.body.indexOf("{"))) as JsonObject;
        isClear(["Connect stream", bad.what], connectCode((end["error"] as JsonObject | undefined)?.["code"] ?? end["code"]), bad, came);
      }
      return;
    }
    for (const bad of PLAIN) {
      const came = await wire.post(pathOf(method), bad.headers, bad.body, SOON);
      if (came.http === 200 && bad.codes === ANY) continue;
      const code = came.http === 200 ? undefined : connectCode((JSON.parse(came.body.toString()) as JsonObject)["code"]);
      isClear(["Connect", bad.what], code, bad, came);
      expect(came.http).toBeGreaterThanOrEqual(400);
    }
  }

  async function otherTypes(wire: Wire, method: DescMethod): Promise<void> {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/grpc+thrift", "x".repeat(4000)]) {
      const came = await wire.post(pathOf(method), { "content-type": type }, frame(EMPTY), SOON);
      expect([type, came.http]).toEqual([type, 415]);
    }
  }

  test.each(methods.map((method) => [`${method.parent.typeName}/${method.name}`, method] as const))(
    "%s",
    async (_name, method) => {
      await framed(person, method);
      await byConnect(person, method);
      await otherTypes(person, method);
    },
    LONG,
  );

  test(
    "the methods of supervisors, as a supervisor",
    async () => {
      using client = registeredClient(host);
      const { sandbox } = await client.unary(OpenShell.method.createSandbox, { workspaceScope, name: "box", spec: {} });
      const ready = async () =>
        (await client.unary(OpenShell.method.getSandbox, { workspaceScope, name: "box" })).sandbox?.status?.phase === SandboxPhase.READY;
      await eventually("the sandbox to be ready", SOON * 3, async () => ((await ready()) ? true : undefined));
      const token = readFileSync(join(host.sandboxesDirectory, sandbox?.metadata?.id ?? "", "run/token"), "utf8").trim();
      using supervisor = new Wire(host, token);
      const theirs = methods.filter(({ name }) =>
        /^(Report|Finalize|ConnectSupervisor|RelayStream|GetSandboxProviderEnvironment|SubmitPolicyAnalysis|PushSandboxLogs|GetInferenceBundle|GetSandboxConfig$)/.test(
          name,
        ),
      );
      for (const method of theirs) {
        await framed(supervisor, method);
        await byConnect(supervisor, method);
      }
      expect(await ready()).toBe(true);
      await client.unary(OpenShell.method.deleteSandbox, { workspaceScope, name: "box" });
    },
    LONG,
  );

  test("a deep Struct in a message", async () => {
    const path = pathOf(OpenShell.method.createSandbox);
    // google.protobuf.Struct { fields: { "a": Value { struct_value: … } } }, by hand: a library would run out of stack before the gateway does.
    let bytes: Uint8Array = EMPTY;
    for (let level = 0; level < 5_000; level++) {
      const value = field(5, bytes);
      bytes = field(1, Buffer.concat([field(1, Buffer.from("a")), field(2, value)]));
    }
    const request = toBinary(CreateSandboxRequestSchema, create(CreateSandboxRequestSchema, { workspaceScope, name: "deep" }));
    // spec = 2 or whatever the descriptor says; template and resources likewise.
    const spec = CreateSandboxRequestSchema.field.spec;
    const template = spec.message?.fields.find(({ localName }) => localName === "template");
    const resources = template?.message?.fields.find(({ localName }) => localName === "resources");
    const deep = field(spec.number, field(template?.number ?? 0, field(resources?.number ?? 0, bytes)));
    const came = await person.post(path, { "content-type": "application/grpc" }, frame(Buffer.concat([request, deep])), SOON);
    isClear(["deep Struct"], grpcCode(came, false), { codes: [Code.InvalidArgument, Code.Internal, Code.ResourceExhausted] }, came);
  });

  test(
    "the gateway is as it was: no growth by bombs, nothing in its log, and it answers",
    async () => {
      const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${host.pid}/status`, "utf8"))?.[1]) * 1024;
      const path = pathOf(OpenShell.method.createSandbox);
      const flood = async (count: number) => {
        for (let sent = 0; sent < count; sent++) {
          await person.post(path, { "content-type": "application/grpc", ...gzip }, frame(BOMB, 1), SOON);
          await person.post(path, { "content-type": "application/json" }, DEEP_JSON, SOON);
        }
      };
      await flood(100);
      const before = memory();
      await flood(300);
      // Half a MiB that stays of each request would be more; what a collector has not looked at yet is less.
      expect(memory() - before).toBeLessThan(256 * MIB);
      const method = OpenShell.method.health;
      const came = await person.post(pathOf(method), { "content-type": "application/proto" }, EMPTY, SOON);
      expect(fromBinary(method.output, came.body).version).not.toBe("");
      expect(host.log).toBe("");
    },
    LONG,
  );
});

/** A field of bytes. */
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(bytes.length)]), bytes]);
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
