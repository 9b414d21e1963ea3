import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { DeletionOutcome } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createSandbox, FakeSupervisor, type TestGateway, testGateway, until, workspaceScope } from "../gateway.test-support.ts";

const KEY = "sk-nobody-may-see-this-0123456789";

/** A provider's server that knows one model by one protocol, and how many asked it. */
function modelServer(path: string, accepts: (body: Record<string, unknown>) => boolean) {
  const asked: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      if (request.headers.get("authorization") !== `Bearer ${KEY}`) return Response.json({ error: `no: ${KEY}` }, { status: 401 });
      const body = (await request.json()) as Record<string, unknown>;
      return pathname === path && accepts(body) ? Response.json({}) : Response.json({ error: "unknown" }, { status: 404 });
    },
  });
  return { url: `http://127.0.0.1:${server.port}/v1`, asked, [Symbol.dispose]: () => void server.stop(true) };
}

const users = (gateway: TestGateway): Client<typeof Inference> => createClient(Inference, gateway.transport({ certificate: true }));

async function provider(gateway: TestGateway, url: string, changes: object = {}): Promise<void> {
  const config = url === "" ? {} : { OPENAI_BASE_URL: url };
  const about = { metadata: { name: "local" }, type: "openai", credentials: { OPENAI_API_KEY: KEY }, config, ...changes };
  await gateway.user.createProvider({ workspaceScope, provider: about });
}

async function refused(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => {
      throw new Error("was not refused");
    },
    (error) => ConnectError.from(error),
  );
}

const wanted = { workspaceScope, providerName: "local", modelId: "m-1" };

describe("inference routes", () => {
  test("set is verified, get shows it, versions count changes, delete ends it", async () => {
    await using gateway = await testGateway();
    using model = modelServer("/v1/chat/completions", ({ model: id }) => id === "m-1");
    await provider(gateway, model.url);
    const inference = users(gateway);
    expect((await refused(inference.getInferenceRoute({ workspaceScope }))).code).toBe(Code.NotFound);
    const set = await inference.setInferenceRoute(wanted);
    expect(set).toMatchObject({
      providerName: "local",
      modelId: "m-1",
      version: 1n,
      routeName: "inference.local",
      validationPerformed: true,
      workspace: "default",
    });
    expect(set.validatedEndpoints).toMatchObject([{ url: `${model.url}/chat/completions`, protocol: "openai_chat_completions" }]);
    expect(set.timeout?.seconds).toBe(60n);
    expect((await inference.setInferenceRoute(wanted)).version).toBe(1n);
    const changed = await inference.setInferenceRoute({ ...wanted, timeout: durationFromMs(5000), routeName: "inference.local" });
    expect([changed.version, changed.timeout?.seconds]).toEqual([2n, 5n]);
    expect(await inference.getInferenceRoute({ workspaceScope })).toMatchObject({ modelId: "m-1", version: 2n });
    expect((await refused(inference.getInferenceRoute({ workspaceScope, routeName: "sandbox-system" }))).code).toBe(Code.NotFound);
    const gone = (allowMissing: boolean) => inference.deleteInferenceRoute({ workspaceScope, allowMissing });
    expect((await gone(false)).outcome).toBe(DeletionOutcome.COMPLETED);
    expect((await gone(true)).outcome).toBe(DeletionOutcome.ALREADY_ABSENT);
    expect((await refused(gone(false))).code).toBe(Code.NotFound);
  });

  test("what cannot be a route is told apart", async () => {
    await using gateway = await testGateway();
    using model = modelServer("/v1/embeddings", () => true);
    const inference = users(gateway);
    expect((await refused(inference.setInferenceRoute({ ...wanted, noVerify: true }))).code).toBe(Code.FailedPrecondition);
    await provider(gateway, model.url);
    await provider(gateway, "", { metadata: { name: "hub" }, type: "github", credentials: { GITHUB_TOKEN: "ghp_1" } });
    const invalid: object[] = [
      { routeName: "other" },
      { providerName: "" },
      { modelId: "" },
      { modelId: "a b" },
      { modelId: "x".repeat(2049) },
      { providerName: "hub" },
      { timeout: durationFromMs(-1) },
      { timeout: durationFromMs(3_601_000) },
      { verify: true, noVerify: true },
      { workspaceScope: {} },
    ];
    for (const change of invalid)
      expect([change, (await refused(inference.setInferenceRoute({ ...wanted, noVerify: true, ...change }))).code]).toEqual([
        change,
        Code.InvalidArgument,
      ]);
    // Its only answer is about embeddings: the last question shows that it works.
    expect((await inference.setInferenceRoute(wanted)).validatedEndpoints[0]?.protocol).toBe("openai_embeddings");
    expect(new Set(model.asked).size).toBe(4);
  });

  test("a route that does not work is refused without the key; --no-verify sets it all the same", async () => {
    await using gateway = await testGateway();
    using model = modelServer("/v1/chat/completions", () => false);
    await provider(gateway, model.url, { credentials: { OPENAI_API_KEY: `${KEY}x` } });
    const inference = users(gateway);
    const error = await refused(inference.setInferenceRoute(wanted));
    expect([error.code, model.asked.length]).toEqual([Code.FailedPrecondition, 1]);
    expect(error.rawMessage).toContain("answered 401");
    expect((await inference.setInferenceRoute({ ...wanted, noVerify: true })).validationPerformed).toBe(false);
    await gateway.user.updateProvider({
      workspaceScope,
      provider: { metadata: { name: "local" }, config: { OPENAI_BASE_URL: "http://127.0.0.1:1/v1" } },
    });
    const away = await refused(inference.setInferenceRoute(wanted));
    expect(away.rawMessage).toContain("cannot be reached");
    expect(error.rawMessage + away.rawMessage).not.toContain(`${KEY}x`);
  });

  test("decision-22 the bundle goes to a sandbox's supervisor, asked for and pushed, and to nobody else", async () => {
    await using gateway = await testGateway();
    await provider(gateway, "mock://x");
    const people = users(gateway);
    const { id } = await createSandbox(gateway);
    const { instanceId } = await gateway.spec(id);
    const token = await gateway.token(id);
    const supervisor = new FakeSupervisor(gateway.as({ bearer: token }), id, instanceId);
    await until(() => supervisor.received.length > 0);
    const own = createClient(Inference, gateway.transport({ bearer: token }));
    const empty = await own.getInferenceBundle({});
    expect(empty.routes).toEqual([]);
    await people.setInferenceRoute(wanted);
    await people.setInferenceRoute({ ...wanted, routeName: "sandbox-system", modelId: "m-2" });
    const bundle = await own.getInferenceBundle({});
    expect(bundle.routes).toMatchObject([
      { name: "inference.local", baseUrl: "mock://x", apiKey: KEY, modelId: "m-1", providerType: "openai" },
      { name: "sandbox-system", modelId: "m-2" },
    ]);
    const pushed = () =>
      supervisor.received.flatMap(({ payload }) => (payload.case === "configUpdate" ? [payload.value.inferenceBundle?.revision] : []));
    await until(() => pushed().includes(bundle.revision));
    // A rotated key is another revision, and the revision tells nothing of the key.
    await gateway.user.updateProvider({
      workspaceScope,
      provider: { metadata: { name: "local" }, credentials: { OPENAI_API_KEY: "sk-2" } },
    });
    const rotated = await own.getInferenceBundle({});
    expect(rotated.routes[0]?.apiKey).toBe("sk-2");
    expect([empty.revision, bundle.revision, rotated.revision].every((one, i, all) => all.indexOf(one) === i)).toBe(true);
    await until(() => pushed().includes(rotated.revision));
    expect((await refused(people.getInferenceBundle({}))).code).toBe(Code.PermissionDenied);
    expect((await refused(createClient(Inference, gateway.transport({})).getInferenceBundle({}))).code).toBe(Code.Unauthenticated);
    for (const change of [
      own.setInferenceRoute(wanted),
      own.deleteInferenceRoute({ workspaceScope }),
      own.getInferenceRoute({ workspaceScope }),
    ])
      expect((await refused(change)).code).toBe(Code.PermissionDenied);
    const agent = await gateway.gateway.context.tokens.issue(id, "agent");
    const inside = createClient(Inference, gateway.transport({ bearer: agent.token }));
    expect((await refused(inside.getInferenceBundle({}))).code).toBe(Code.PermissionDenied);
    supervisor.disconnect();
  });

  test("a provider under a route cannot be deleted, and one that can serve no more leaves no broken route", async () => {
    await using gateway = await testGateway();
    await provider(gateway, "mock://x");
    const inference = users(gateway);
    await inference.setInferenceRoute({ ...wanted, noVerify: true });
    expect((await refused(gateway.user.deleteProvider({ workspaceScope, name: "local" }))).code).toBe(Code.FailedPrecondition);
    await gateway.user.updateProvider({
      workspaceScope,
      provider: { metadata: { name: "local" }, config: { OPENAI_BASE_URL: "nonsense" } },
    });
    expect(gateway.gateway.context.inference.bundle("default").routes).toEqual([]);
    await inference.deleteInferenceRoute({ workspaceScope });
    await gateway.user.deleteProvider({ workspaceScope, name: "local" });
  });

  test("a repeated request answers what the first answered; routes outlive a restart", async () => {
    const gateway = await testGateway();
    using model = modelServer("/v1/chat/completions", () => true);
    await provider(gateway, model.url);
    const requestId = crypto.randomUUID();
    const inference = users(gateway);
    const first = await inference.setInferenceRoute({ ...wanted, requestId });
    const again = await inference.setInferenceRoute({ ...wanted, requestId });
    expect([again.version, again.validationPerformed, model.asked.length]).toEqual([first.version, true, 1]);
    await gateway.gateway.close();
    const next = await testGateway({}, gateway.directory);
    expect(await users(next).getInferenceRoute({ workspaceScope })).toMatchObject({ modelId: "m-1" });
    await next[Symbol.asyncDispose]();
    rmSync(gateway.directory, { recursive: true });
  });
});
