import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../../rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection, type ServerReflectionResponse } from "../../../rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as Alpha } from "../../../rpc/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { createSandbox, type TestGateway, testGateway, workspaceScope } from "../gateway.test-support.ts";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(() => gw[Symbol.asyncDispose]());

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error) => ConnectError.from(error).code,
  );

test("gRPC health is for anyone, and knows its services", async () => {
  const client = createClient(Health, gw.transport({}));
  expect((await client.check({})).status).toBe(Serving.SERVING);
  expect((await client.check({ service: "openshell.v1.OpenShell" })).status).toBe(Serving.SERVING);
  expect(await codeOf(client.check({ service: "nothing" }))).toBe(Code.NotFound);
  const abort = new AbortController();
  for await (const { status } of client.watch({ service: "nothing" }, { signal: abort.signal })) {
    expect(status).toBe(Serving.SERVICE_UNKNOWN);
    abort.abort();
    break;
  }
});

describe("reflection", () => {
  const ask = async (client: ReturnType<typeof createClient<typeof ServerReflection>>, ...requests: Parameters<typeof request>[0][]) => {
    async function* all() {
      for (const one of requests) yield request(one);
    }
    const answers: ServerReflectionResponse[] = [];
    for await (const answer of client.serverReflectionInfo(all())) answers.push(answer);
    return answers;
  };
  type Ask = { case: "listServices" | "fileContainingSymbol" | "fileByFilename"; value: string };
  const request = (messageRequest: Ask) => ({ messageRequest });

  test("lists every service, under both names, for users only", async () => {
    for (const service of [ServerReflection, Alpha as unknown as typeof ServerReflection]) {
      const [answer] = await ask(createClient(service, gw.transport({ certificate: true })), { case: "listServices", value: "*" });
      const found = answer?.messageResponse;
      expect(found?.case === "listServicesResponse" && found.value.service.map(({ name }) => name)).toEqual([
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "openshell.inference.v1.Inference",
        "openshell.v1.OpenShell",
      ]);
    }
    expect(await codeOf(ask(createClient(ServerReflection, gw.transport({})), { case: "listServices", value: "*" }))).toBe(
      Code.Unauthenticated,
    );
    const { id } = await createSandbox(gw);
    const bearer = await gw.token(id);
    expect(await codeOf(ask(createClient(ServerReflection, gw.transport({ bearer })), { case: "listServices", value: "*" }))).toBe(
      Code.PermissionDenied,
    );
  });

  test("a symbol answers with a set of files that is complete", async () => {
    const client = createClient(ServerReflection, gw.transport({ certificate: true }));
    const [answer, missing] = await ask(
      client,
      { case: "fileContainingSymbol", value: "openshell.v1.OpenShell.CreateSandbox" },
      { case: "fileByFilename", value: "no/such.proto" },
    );
    const files = answer?.messageResponse.case === "fileDescriptorResponse" ? answer.messageResponse.value.fileDescriptorProto : [];
    const file = files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)).reverse();
    const registry = createFileRegistry({ $typeName: FileDescriptorSetSchema.typeName, file });
    expect(registry.getService("openshell.v1.OpenShell")?.methods.length).toBeGreaterThan(84);
    expect(missing?.messageResponse.case === "errorResponse" && missing.messageResponse.value.errorCode).toBe(5);
  });
});

describe("pages", () => {
  const tls = (name: string) => readFileSync(join(gw.directory, "state/tls", name), "utf8");
  const get = (path: string, user: boolean, headers: Record<string, string> = {}) =>
    fetch(`${gw.gateway.endpoint}${path}`, {
      headers,
      tls: { ca: tls("ca.crt"), ...(user ? { cert: tls("client.crt"), key: tls("client.key") } : {}) },
    });

  test("metrics count calls with their codes, for users", async () => {
    await codeOf(gw.user.getSandbox({ workspaceScope, name: "nobody" }));
    await codeOf(gw.as({}).listSandboxes({ workspaceScope }));
    await get("/nothing/here", false);
    await get("/readyz", false);
    expect((await get("/metrics", false)).status).toBe(401);
    const answer = await get("/metrics", true);
    expect(answer.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    const text = await answer.text();
    expect(text).toContain('openshell_server_grpc_requests_total{method="GetSandbox",code="NOT_FOUND"} 1\n');
    expect(text).toContain('openshell_server_grpc_requests_total{method="ListSandboxes",code="UNAUTHENTICATED"} 1\n');
    expect(text).toContain('openshell_server_grpc_request_duration_seconds_count{method="GetSandbox"} 1\n');
    expect(text).toContain('openshell_server_http_requests_total{path="other",status="404"} 1\n');
    expect(text).toContain("openshell_server_readiness_database_healthy 1\n");
    for (const line of text.trimEnd().split("\n")) expect(line).toMatch(/^(# (HELP|TYPE) |[a-z_]+(\{[^}]*\})? [\d.e+-]+$)/);
  });

  test("threat-12 a token opens no page", async () => {
    const { id } = await createSandbox(gw);
    const { token } = await gw.gateway.context.tokens.issue(id, "agent");
    for (const path of ["/healthz", "/readyz", "/metrics", "/"]) {
      expect((await get(path, false, { authorization: `Bearer ${token}` })).status).toBe(403);
    }
  });
});
