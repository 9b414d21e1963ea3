/** The control plane seen from inside a sandbox, with the compiled binary and other people's clients. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Inference } from "../../src/rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell, SandboxResponseSchema } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { BINARY, GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const NODE = "/usr/bin/node";
const PYTHON = "/usr/bin/python3";
const missing = missingForGateway() ?? [NODE, PYTHON].filter((path) => !existsSync(path)).map((path) => `${path} is not installed`)[0];
if (missing !== undefined) console.log(`skipped: control plane from inside: ${missing}`);

interface Answer {
  readonly path: string;
  readonly code: number;
  readonly details?: string;
  readonly answer?: string;
}

const PERMISSION_DENIED = 7;
const { method } = OpenShell;
const pathOf = (one: { parent: { typeName: string }; name: string }) => `/${one.parent.typeName}/${one.name}`;
const encoded = <M extends (typeof OpenShell.methods)[number]>(one: M, request: MessageInitShape<M["input"]>) => ({
  path: pathOf(one),
  request: Buffer.from(toBinary(one.input, create(one.input, request as never))).toString("base64"),
});

describe.skipIf(missing !== undefined).each([
  ["TLS", []],
  ["--disable-tls", ["--disable-tls"]],
] as const)("threat-12 from inside, %s", (_, flags) => {
  let host: GatewayHost;
  let program: string;
  const port = () => host.port;

  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start(...flags);
    const built = await Bun.build({ entrypoints: [join(import.meta.dir, "control-plane.program.ts")], target: "node", format: "esm" });
    program = (await built.outputs[0]?.text()) ?? "";
    for (const name of ["own", "other"]) expect((await cli("sandbox", "create", "--name", name)).code).toBe(0);
    for (const id of readdirSync(host.sandboxesDirectory))
      writeFileSync(join(host.sandboxesDirectory, id, "workspace/client.mjs"), program, { mode: 0o644 });
  }, 60_000);
  afterAll(async () => {
    for (const name of ["own", "other"]) await cli("sandbox", "delete", name);
    await host.kill("SIGTERM");
    await host[Symbol.asyncDispose]();
  });

  async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = Bun.spawn({ cmd: [BINARY, ...argv], cwd: "/", env: host.env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return { code, out, err };
  }
  const inside = (...argv: string[]) => cli("sandbox", "exec", "-n", "own", "--", ...argv);
  const calls = async (list: readonly object[], ...before: string[]): Promise<readonly Answer[]> => {
    const { out, err } = await inside(...before, NODE, "/sandbox/client.mjs", JSON.stringify(list));
    if (!out.startsWith("[")) throw new Error(`${out}${err}${(await cli("logs", "own")).out}`);
    return JSON.parse(out) as readonly Answer[];
  };
  const own = () => [
    encoded(method.health, {}),
    encoded(method.getSandbox, { workspaceScope, name: "own" }),
    encoded(method.getSandboxConfig, { workspaceScope, name: "own" }),
    encoded(method.getDraftPolicy, { workspaceScope, sandbox: "own" }),
  ];

  test("grpc-js with no argument makes the four calls, by the proxy and past it", async () => {
    const everyWay = [
      [],
      ["env", "-u", "HTTP_PROXY", "-u", "HTTPS_PROXY", "-u", "ALL_PROXY"],
      ["env", ...["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "grpc_proxy"].flatMap((name) => ["-u", name])],
    ];
    for (const before of everyWay) {
      const answers = await calls(own(), ...before);
      expect(answers.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      const { sandbox } = fromBinary(SandboxResponseSchema, Buffer.from(answers[1]?.answer ?? "", "base64"));
      expect(sandbox?.metadata?.name).toBe("own");
    }
  }, 60_000);

  test("every other method and every other sandbox is refused, whatever credentials come along", async () => {
    const forged = {
      authorization: "Bearer eyJhbGciOiJub25lIn0.eyJraW5kIjoic3VwZXJ2aXNvciJ9.",
      cookie: "session=admin",
      "x-forwarded-client-cert": 'Subject="CN=root@host,OU=operator"',
      "x-openshell-user": "root",
    };
    const open = new Set(own().map(({ path }) => path));
    const methods = [...OpenShell.methods, ...Inference.methods].filter((one) => !open.has(pathOf(one)));
    const closed = [
      ...methods.map((one) => ({ path: pathOf(one), request: "" })),
      { path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", request: "" },
      { path: "/grpc.health.v1.Health/Check", request: "" },
      { path: "/openshell.v1.OpenShell/health", request: "" },
      { path: "/openshell.v1.OpenShell/Health/../ListSandboxes", request: "" },
      { path: "//openshell.v1.OpenShell/Health", request: "" },
      encoded(method.getSandbox, { workspaceScope, name: "other" }),
      encoded(method.getSandboxConfig, { workspaceScope, name: "other" }),
      encoded(method.getDraftPolicy, { workspaceScope, sandbox: "other" }),
    ];
    // A sandbox makes at most a hundred calls at once.
    for (let at = 0; at < closed.length; at += 40) {
      const answers = await calls(closed.slice(at, at + 40).map((call) => ({ ...call, metadata: forged })));
      for (const { path, code } of answers) expect([path, code]).toEqual([path, PERMISSION_DENIED]);
    }
    // The forged headers did not count for the allowed ones either.
    expect((await calls(own().map((call) => ({ ...call, metadata: forged })))).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  }, 60_000);

  test("pages, other protocols and other ports are refused; plain HTTP/2 is read as well, over mapped addresses too", async () => {
    const url = `https://gateway.openshell.internal:${port()}`;
    for (const path of ["/healthz", "/readyz", "/metrics", "/", "/openshell.v1.OpenShell/ListSandboxes"]) {
      const page = await inside("curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}", `${url}${path}`);
      expect([path, page.out]).toEqual([path, "403"]);
    }
    const json = ["-H", "Content-Type: application/json", "-d", "{}"];
    const connect = await inside("curl", "-sS", "--max-time", "20", ...json, `${url}/openshell.v1.OpenShell/ListSandboxes`);
    expect(connect.out).toContain("permission_denied");
    const elsewhere = await inside("curl", "-sS", "--max-time", "20", "https://gateway.openshell.internal:22/");
    expect([elsewhere.code !== 0, elsewhere.err.includes("403")]).toEqual([true, true]);
    const absolute = await inside(
      "curl",
      "-sS",
      "--max-time",
      "20",
      "-w",
      "%{http_code}",
      `http://gateway.openshell.internal:${port()}/healthz`,
    );
    expect(absolute.out.endsWith("503")).toBe(true);

    const python = `
import socket, ssl, struct
def tunnel():
    s = socket.socket(socket.AF_INET6); s.settimeout(20)
    s.connect(("::ffff:10.200.0.1", 3128))
    s.sendall(b"CONNECT gateway.openshell.internal:${port()} HTTP/1.1\\r\\nHost: gateway.openshell.internal:${port()}\\r\\n\\r\\n")
    assert s.recv(4096).startswith(b"HTTP/1.1 200"), "no tunnel"
    return s
context = ssl.create_default_context(); context.set_alpn_protocols(["h2", "http/1.1"])
print(context.wrap_socket(tunnel(), server_hostname="gateway.openshell.internal").selected_alpn_protocol())
frame = lambda kind, flags, stream, body=b"": struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
plain = tunnel(); plain.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + frame(4, 0, 0))
print(plain.recv(4096)[3])
# A header block that never ends is ended (threat 34).
plain.sendall(frame(1, 0, 1, b"\\x83") + frame(9, 0, 1) * 40)
rest = b""
while True:
    try: more = plain.recv(4096)
    except ConnectionResetError: break
    if not more: break
    rest += more
print("closed", 7 in rest)
old = tunnel(); old.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); print(old.recv(4096).split(b"\\r\\n")[0].decode())
`;
    const { out, err } = await inside(PYTHON, "-c", python);
    expect([out, err]).toEqual(["h2\n4\nclosed True\nHTTP/1.1 403 Forbidden\n", ""]);
  }, 60_000);

  test("connections and calls are logged as the control plane's, and nothing of it becomes a proposal", async () => {
    const { out } = await cli("logs", "own");
    expect(out).toMatch(/NET:OPEN \[INFO\] ALLOWED \S+node\S* .*-> gateway\.openshell\.internal:\d+ \[policy:- engine:control_plane\]/);
    expect(out).toMatch(
      /DENIED POST https:\/\/gateway\.openshell\.internal:\d+\/openshell\.v1\.OpenShell\/ApproveDraftChunk .*engine:control_plane/,
    );
    expect(out).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\.eyJ/);
    const drafts = JSON.parse((await cli("sandbox", "draft", "own", "-o", "json")).out);
    expect("chunks" in drafts ? drafts.chunks : drafts).toEqual([]);
  }, 60_000);

  test.skipIf(!existsSync("/usr/lib/python3/dist-packages/grpc"))(
    "gRPC's C core, as Python has it, needs no argument either",
    async () => {
      const python = `
import grpc, os
target = os.environ["OPENSHELL_ENDPOINT"].removeprefix("https://")
channel = grpc.secure_channel(target, grpc.ssl_channel_credentials())
same = lambda value: value
call = lambda name: channel.unary_unary("/openshell.v1.OpenShell/" + name, same, same)(b"", timeout=20)
print(len(call("Health")) > 0)
try: call("ListSandboxes")
except grpc.RpcError as error: print(error.code().name)
`;
      const { out, err } = await inside(PYTHON, "-c", python);
      expect([out, err]).toEqual(["True\nPERMISSION_DENIED\n", ""]);
    },
    60_000,
  );

  test("after a kill -9 of the gateway calls go through again, in the same sandbox", async () => {
    await host.kill("SIGKILL");
    await host.start(...flags);
    await eventually(
      "a call after the restart",
      30_000,
      async () => (await calls(own().slice(1, 2)))[0]?.code === 0 || undefined,
      async () => host.diagnosis(),
    );
  }, 60_000);

  test("a flood of calls is refused and leaves the gateway and the next second alone", async () => {
    const flood = Array.from({ length: 160 }, () => encoded(method.health, {}));
    const codes = (await calls(flood)).map(({ code }) => code);
    expect(codes.filter((code) => code === 0).length).toBeGreaterThan(50);
    expect(new Set(codes).isSubsetOf(new Set([0, 8]))).toBe(true);
    expect((await cli("status")).code).toBe(0);
  }, 60_000);
});
