/** What clients may rely on below the calls: TLS or plaintext on loopback alone, HTTP/2 pings, deadlines that the gateway keeps, cancellation. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { OpenShell, WatchSandboxRequestSchema } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { BINARY, GatewayHost, missingForGateway, workspaceScope } from "./host.ts";
import { registeredClient } from "./plain-grpc.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: transports of the gateway: ${missing}`);

const DEADLINE_EXCEEDED = "4";
const PINGS = 300;

describe.skipIf(missing !== undefined)("below the calls", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    expect((await host.cli("sandbox", "create", "--name", "one")).code).toBe(0);
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  const pem = (name: string) => readFileSync(join(host.directory, "config/openshell/gateways/openshell/mtls", name));
  function session(): ClientHttp2Session {
    return connect(host.endpoint, { ca: pem("ca.crt"), cert: pem("tls.crt"), key: pem("tls.key") });
  }
  /** The trailers of a server stream, sent by the gateway itself: nothing on this side knows the deadline. */
  function watchWithTimeout(on: ClientHttp2Session, timeout: string): Promise<Record<string, unknown>> {
    const message = toBinary(
      WatchSandboxRequestSchema,
      create(WatchSandboxRequestSchema, { workspaceScope, sandbox: "one", followStatus: true }),
    );
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return new Promise((resolve, reject) => {
      const stream = on.request({
        ":method": "POST",
        ":path": "/openshell.v1.OpenShell/WatchSandbox",
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-timeout": timeout,
      });
      stream.on("trailers", (trailers) => resolve(trailers));
      stream.on("response", (headers) => headers["grpc-status"] !== undefined && resolve(headers));
      stream.on("error", reject);
      stream.resume();
      stream.end(Buffer.concat([head, message]));
    });
  }

  test("pings, as many as a client likes, and the connection still carries calls", async () => {
    const on = session();
    try {
      let gone = "";
      on.on("goaway", (code) => {
        gone = `GOAWAY ${code}`;
      });
      for (let count = 0; count < PINGS; count++) {
        await new Promise<void>((resolve, reject) => on.ping((error) => (error ? reject(error) : resolve())));
      }
      expect(await watchWithTimeout(on, "200m")).toMatchObject({ "grpc-status": DEADLINE_EXCEEDED });
      expect(gone).toBe("");
    } finally {
      on.destroy();
    }
  });

  test("a deadline is kept by the gateway, also when the client forgets it", async () => {
    const on = session();
    try {
      expect(await watchWithTimeout(on, "300m")).toMatchObject({ "grpc-status": DEADLINE_EXCEEDED });
      expect(await watchWithTimeout(on, "1n")).toMatchObject({ "grpc-status": DEADLINE_EXCEEDED });
    } finally {
      on.destroy();
    }
    using connected = host.connect();
    const call = connected.client.getSandbox({ workspaceScope, name: "one" }, { timeoutMs: 1 });
    const outcome = await call.then(
      () => "in time",
      (error) => Code[ConnectError.from(error).code],
    );
    expect(["in time", "DeadlineExceeded"]).toContain(outcome);
    expect(host.log).not.toContain("internal error");
  });

  test("a time limit that no timer holds does not end a command at once", async () => {
    using connected = host.connect();
    let code = -1;
    const request = { workspaceScope, sandbox: "one", command: ["/bin/sleep", "0.5"], executionTimeout: { seconds: 3_000_000n } };
    for await (const { payload } of connected.client.execSandbox(request)) if (payload.case === "exit") code = payload.value.exitCode;
    expect(code).toBe(0);
  });

  test("a caller that cancels or vanishes ends what it started inside", async () => {
    const running = (text: string) =>
      readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && read(`/proc/${pid}/cmdline`).includes(`sleep\0${text}`)).length;
    for (const [text, end] of [
      ["86521", "cancel"],
      ["86522", "connection"],
      ["86523", "deadline"],
    ] as const) {
      const connected = host.connect();
      const abort = new AbortController();
      const exec = connected.client.execSandbox(
        { workspaceScope, sandbox: "one", command: ["/bin/sleep", text] },
        { signal: abort.signal, ...(end === "deadline" ? { timeoutMs: 10_000 } : {}) },
      );
      const over = Array.fromAsync(exec).catch((error) => Code[ConnectError.from(error).code]);
      await eventually(
        `sleep ${text}`,
        30_000,
        async () => running(text) > 0 || undefined,
        async () => host.diagnosis(),
      );
      if (end === "cancel") abort.abort();
      if (end === "connection") connected[Symbol.dispose]();
      await over;
      await eventually(`the end of sleep ${text} after ${end}`, 30_000, async () => running(text) === 0 || undefined);
      if (end !== "connection") connected[Symbol.dispose]();
    }
    expect(host.log).not.toContain("internal error");
  });

  test("--disable-tls: HTTP/2 without TLS and HTTP/1.1 on one port, on loopback and nowhere else", async () => {
    await using plain = await GatewayHost.open();
    await plain.start("--disable-tls");
    const baseUrl = `http://127.0.0.1:${plain.port}`;
    const transports = [
      createGrpcTransport({ baseUrl }),
      ...(["1.1", "2"] as const).flatMap((httpVersion) => [
        createGrpcWebTransport({ baseUrl, httpVersion }),
        createConnectTransport({ baseUrl, httpVersion }),
      ]),
    ];
    for (const transport of transports) {
      const client = createClient(OpenShell, transport);
      expect((await client.health({})).version).not.toBe("");
      expect((await client.listSandboxes({ workspaceScope })).sandboxes).toEqual([]);
    }
    using grpcJs = registeredClient(plain);
    expect((await grpcJs.unary(OpenShell.method.health, {})).version).not.toBe("");
    expect(await plain.cli("sandbox", "create", "--name", "clear-text")).toMatchObject({ code: 0 });
    expect((await plain.cli("sandbox", "exec", "-n", "clear-text", "--", "/bin/echo", "here")).out).toBe("here\n");

    for (const address of ["0.0.0.0", "::", "192.0.2.1", "example.com"]) {
      const { exitCode, stderr } = Bun.spawnSync([BINARY, "gateway", "serve", "--disable-tls", "--port", "0", "--bind-address", address], {
        env: { ...plain.env, XDG_STATE_HOME: join(plain.directory, "other") },
        cwd: "/",
      });
      expect({ address, exitCode, loopback: stderr.toString().includes("loopback addresses only") }).toEqual({
        address,
        exitCode: 2,
        loopback: true,
      });
    }
  });
});

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
