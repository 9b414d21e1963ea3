/** gRPC's C core, which Python, C++, Ruby and PHP share, over TLS through inspection: calls of every kind, allowed and denied. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { HTTP2_PORT } from "../internet/topology.ts";

const python = installed("Python", "/usr/bin/python3");
const grpcio = installed("gRPC for Python (python3-grpcio)", "/usr/lib/python3/dist-packages/grpc/__init__.py");
const HOST = `h2.example.com:${HTTP2_PORT}`;

/** No generated code and no argument about proxies or certificates: bytes in, bytes out. One line per call. */
const CLIENT = `
import sys, grpc
host, service = sys.argv[1:]
soon = {"timeout": 30}
def told(call):
    try: return call()
    except grpc.RpcError as error: return f"{error.code().name} {error.details()}"
def collected(replies):
    parts = []
    try:
        for part in replies: parts.append(part)
    except grpc.RpcError as error: return f"{b''.join(parts).decode()} {error.code().name}"
    return f"{b''.join(parts).decode()} OK"
options = [("grpc.max_receive_message_length", -1)]
with grpc.secure_channel(host, grpc.ssl_channel_credentials(), options=options) as channel:
    path = lambda method: f"/{service}/{method}"
    print(told(lambda: channel.unary_unary(path("Say"))(b"hello", **soon).decode()))
    print(told(lambda: len(channel.unary_unary(path("Say"))(b"y" * 3000000, **soon))))
    print(told(lambda: channel.unary_unary(path("Fail"))(b"x", **soon)))
    print(told(lambda: channel.unary_unary(path("Wait"))(b"x", timeout=2)).split(" ")[0])
    print(told(lambda: channel.stream_unary(path("One"))(iter([b"only"]), **soon).decode()))
    print(collected(channel.unary_stream(path("Stream"))(b"streamed", **soon)))
    print(collected(channel.unary_stream(path("Late"))(b"streamed", **soon)))
    print(len(collected(channel.stream_stream(path("Chat"))((b"x" * 1000 for _ in range(200)), **soon))))
`;

const missing = missingFor("gRPC's C core through inspection", python, grpcio);
describe.skipIf(missing !== undefined)("gRPC's C core over TLS", () => {
  let inside: Inside;
  beforeAll(async () => {
    const requests = 'protocol: rest, enforcement: enforce, rules: [{ allow: { method: POST, path: "/test.Echo/*" } }]';
    inside = await Inside.open([{ binaries: [pathOf(python)], endpoints: [HOST], requests }]);
    writeFileSync(inside.place("client.py"), CLIENT);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const call = async (service: string) => {
    const mount = ["--mount", `${inside.place("client.py")}:/client.py`];
    const { stdout, stderr } = await inside.run(["/usr/bin/python3", "/client.py", HOST, service], mount);
    return { lines: stdout.trimEnd().split("\n"), stderr };
  };
  const arrived = async () => (await inside.net.seenWhenQuiet()).requests.filter(({ port }) => port === HTTP2_PORT).map(({ path }) => path);

  test("calls of every kind, deadlines, errors as they are", async () => {
    const { lines, stderr } = await call("test.Echo");
    const expected = [
      "hello",
      "3000000",
      "NOT_FOUND no such thing",
      "DEADLINE_EXCEEDED",
      "only",
      "streamed OK",
      "streamed ABORTED",
      "200003",
    ];
    expect({ lines, stderr: lines.length === expected.length ? "" : stderr }).toEqual({ lines: expected, stderr: "" });
    expect(stderr).toMatch(/ALLOWED .*python3.* -> h2\.example\.com.*\n(.*\n)*.*HTTP:POST .*ALLOWED .*\/test\.Echo\/Say/);
  });

  test("a method that is not allowed is PERMISSION_DENIED with the reason, and the server never sees it", async () => {
    const before = await arrived();
    const { lines, stderr } = await call("test.Other");
    expect(lines[0]).toStartWith("PERMISSION_DENIED POST /test.Other/Say not permitted by policy");
    expect(lines).toHaveLength(8);
    expect(lines.slice(1, 5).map((line) => line.split(" ")[0])).toEqual(Array(4).fill("PERMISSION_DENIED"));
    expect(lines.slice(5, 7)).toEqual([" PERMISSION_DENIED", " PERMISSION_DENIED"]);
    expect(stderr).toMatch(/HTTP:POST .*DENIED .*\/test\.Other\/Say/);
    expect(await arrived()).toEqual(before);
  });
});
