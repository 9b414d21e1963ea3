import { describe, expect, test } from "bun:test";
import { create, type DescMethod, type DescMethodStreaming, type DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { Health } from "../../../rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { type Credential, createSandbox, type TestGateway, testGateway, workspaceScope } from "../gateway.test-support.ts";

const FOR_AGENTS = ["GetDraftPolicy", "GetSandbox", "GetSandboxConfig", "Health"];

/** What a call with an empty request comes to. */
async function codeOf(transport: Transport, method: DescMethod): Promise<Code | "ok"> {
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as DescMethodUnary, undefined, 10_000, undefined, create(method.input));
    } else {
      const { message } = await transport.stream(method as DescMethodStreaming, undefined, 10_000, undefined, (async function* () {})());
      for await (const _ of message);
    }
    return "ok";
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

async function agentToken(gateway: TestGateway, id: string): Promise<string> {
  const { token } = await gateway.as({ bearer: await gateway.token(id) }).issueSandboxToken({});
  return token;
}

describe.each([
  ["TLS", {}],
  ["--disable-tls", { disableTls: true }],
] as const)("threat-12 an agent's token, %s", (_, options) => {
  const certificate = !("disableTls" in options);

  test("opens its own four methods and nothing else, also with a person's certificate beside it", async () => {
    await using gateway = await testGateway(options);
    const { id, name } = await createSandbox(gateway, { name: "own" });
    await createSandbox(gateway, { name: "other" });
    const bearer = await agentToken(gateway, id);
    for (const credential of [{ bearer }, { bearer, certificate }] satisfies Credential[]) {
      const transport = gateway.transport(credential);
      const open: string[] = [];
      for (const service of [OpenShell, Inference, Health, ServerReflection])
        for (const method of service.methods) {
          const code = await codeOf(transport, method);
          if (code !== Code.PermissionDenied || FOR_AGENTS.includes(method.name)) open.push(`${method.name} ${code}`);
        }
      // Without a name, the three that need one are refused for that: the field must name the caller.
      expect(open.sort()).toEqual(["GetDraftPolicy 7", "GetSandbox 7", "GetSandboxConfig 7", "Health ok"]);
      const client = gateway.as(credential);
      expect((await client.getSandbox({ workspaceScope, name })).sandbox?.metadata?.id).toBe(id);
      await client.getSandboxConfig({ workspaceScope, name });
      await client.getDraftPolicy({ workspaceScope, sandbox: name });
      for (const call of [
        () => client.getSandbox({ workspaceScope, name: "other" }),
        () => client.getSandboxConfig({ workspaceScope, name: "other" }),
        () => client.getDraftPolicy({ workspaceScope, sandbox: "other" }),
        () => client.getSandbox({ workspaceScope: { selection: { case: "allWorkspaces", value: {} } }, name }),
      ])
        expect(ConnectError.from(await call().catch((error) => error)).code).toBe(Code.PermissionDenied);
    }
  });

  test("a token that is not valid never falls through to the certificate or to the local user", async () => {
    await using gateway = await testGateway(options);
    const { id } = await createSandbox(gateway, { name: "own" });
    const [head = "", body = "", signature = ""] = (await agentToken(gateway, id)).split(".");
    const claims = JSON.parse(Buffer.from(body, "base64url").toString());
    const forged = Buffer.from(JSON.stringify({ ...claims, kind: "supervisor" })).toString("base64url");
    const unsigned = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
    for (const bearer of [
      "x",
      `${head}.${forged}.${signature}`,
      `${head}.${body}.`,
      `${unsigned}.${forged}.`,
      `${head}.${body}.${signature}x`,
    ]) {
      const client = gateway.as({ bearer, certificate });
      const error = await client.listSandboxes({ workspaceScope }).then(
        () => undefined,
        (reason) => ConnectError.from(reason),
      );
      expect([bearer.slice(0, 10), error?.code]).toEqual([bearer.slice(0, 10), Code.Unauthenticated]);
      expect(error?.message.includes(bearer)).toBe(false);
    }
    // The certificate, or the plaintext of the same machine, does open it.
    await gateway.user.listSandboxes({ workspaceScope });
  });

  test("pages are not for it", async () => {
    await using gateway = await testGateway(options);
    const { id } = await createSandbox(gateway, { name: "own" });
    const bearer = await agentToken(gateway, id);
    const ca = certificate ? await Bun.file(`${gateway.directory}/state/tls/ca.crt`).text() : undefined;
    for (const path of ["/metrics", "/healthz", "/readyz", "/", "/anything"]) {
      const init = { headers: { authorization: `Bearer ${bearer}` }, ...(ca === undefined ? {} : { tls: { ca } }) };
      const { status } = await fetch(`${gateway.gateway.endpoint}${path}`, init);
      expect([path, status]).toEqual([path, 403]);
    }
  });

  test("it ends with its sandbox", async () => {
    await using gateway = await testGateway(options);
    const { id } = await createSandbox(gateway, { name: "own" });
    const bearer = await agentToken(gateway, id);
    await gateway.user.deleteSandbox({ workspaceScope, name: "own" });
    expect(await codeOf(gateway.transport({ bearer }), OpenShell.method.health)).toBe(Code.Unauthenticated);
  });
});
