import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { create, type DescMessage, type DescMethodUnary, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import { policyToProto } from "../../../policy/proto.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import {
  type ConfigUpdate,
  OpenShell,
  ProviderReadinessReason,
  ProviderReadinessState,
  SandboxPhase,
  SandboxStreamEventSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createSandbox, FakeSupervisor, type TestGateway, testGateway, until, workspaceScope } from "../gateway.test-support.ts";
import { effectivePolicy, withoutDerived } from "./effective-policy.ts";
import { allProfiles } from "./profiles/catalogue.ts";
import type { ProviderRecord } from "./repository.ts";

const SECRET = "ghp_ThisIsTheSecretNobodyMaySee0123456789";

async function refused(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => {
      throw new Error("was not refused");
    },
    (error) => ConnectError.from(error),
  );
}

const github = (name: string, secret = SECRET) => ({ metadata: { name }, type: "github", credentials: { GITHUB_TOKEN: secret } });

async function supervise(test: TestGateway, id: string): Promise<FakeSupervisor> {
  const { instanceId } = await test.spec(id);
  const supervisor = new FakeSupervisor(test.as({ bearer: await test.token(id) }), id, instanceId);
  await until(() => supervisor.received.length > 0);
  return supervisor;
}

function updates(supervisor: FakeSupervisor): ConfigUpdate[] {
  return supervisor.received.flatMap(({ payload }) =>
    payload.case === "configUpdate"
      ? [payload.value]
      : payload.case === "sessionAccepted" && payload.value.bootstrap
        ? [payload.value.bootstrap]
        : [],
  );
}

describe("providers", () => {
  test("create, get, list, update, delete; no answer shows a value", async () => {
    await using gateway = await testGateway();
    const { user } = gateway;
    const answers: unknown[] = [];
    const requestId = crypto.randomUUID();
    answers.push(await user.createProvider({ workspaceScope, provider: github("gh"), requestId }));
    answers.push(await user.createProvider({ workspaceScope, provider: github("gh"), requestId }));
    answers.push(await user.getProvider({ workspaceScope, name: "gh" }));
    answers.push(await user.listProviders({ workspaceScope }));
    const provider = { metadata: { name: "gh" }, credentials: { GH_TOKEN: `${SECRET}2` }, config: { API: "https://x" } };
    answers.push(await user.updateProvider({ workspaceScope, provider }));
    expect(JSON.stringify(answers, (_, value) => (typeof value === "bigint" ? String(value) : value))).not.toContain("ghp_");
    const { provider: got } = await user.getProvider({ workspaceScope, name: "gh" });
    expect(got?.credentials).toEqual({ GITHUB_TOKEN: "REDACTED", GH_TOKEN: "REDACTED" });
    expect(got?.config).toEqual({ API: "https://x" });
    expect(got?.metadata?.resourceVersion).toBe(2n);
    // An empty value deletes, an empty map keeps.
    await user.updateProvider({ workspaceScope, provider: { metadata: { name: "gh" }, credentials: { GH_TOKEN: "" } } });
    expect((await user.getProvider({ workspaceScope, name: "gh" })).provider?.credentials).toEqual({ GITHUB_TOKEN: "REDACTED" });
    expect((await refused(user.createProvider({ workspaceScope, provider: github("gh") }))).code).toBe(Code.AlreadyExists);
    const otherType = { metadata: { name: "gh" }, type: "gitlab" };
    expect((await refused(user.updateProvider({ workspaceScope, provider: otherType }))).code).toBe(Code.InvalidArgument);
    await user.deleteProvider({ workspaceScope, name: "gh" });
    expect((await refused(user.getProvider({ workspaceScope, name: "gh" }))).code).toBe(Code.NotFound);
    expect((await user.deleteProvider({ workspaceScope, name: "gh", allowMissing: true })).outcome).toBe(3);
  });

  test("what is refused, without the value in the message", async () => {
    await using gateway = await testGateway();
    const cases = [
      { metadata: { name: "a" }, type: "", credentials: { A: "x" } },
      { metadata: { name: "a" }, type: "githubb", credentials: { A: "x" } },
      { metadata: { name: "a" }, type: "generic", credentials: {} },
      { metadata: { name: "a" }, type: "generic", credentials: { "A-B": SECRET } },
      { metadata: { name: "a" }, type: "generic", credentials: { OPENSHELL_X: SECRET } },
      { metadata: { name: "a" }, type: "generic", credentials: { https_proxy: SECRET } },
      { metadata: { name: "a" }, type: "generic", credentials: { A: `${SECRET}\r\nHost: evil` } },
      { metadata: { name: "a" }, type: "generic", credentials: { A: "openshell:resolve:env:A" } },
      { metadata: { name: "a/b" }, type: "generic", credentials: { A: SECRET } },
      { metadata: { name: "a" }, type: "generic", credentials: { A: "x".repeat(8193) } },
      { metadata: { name: "a" }, type: "generic", credentials: Object.fromEntries([...Array(33)].map((_, i) => [`K${i}`, "x"])) },
    ];
    for (const provider of cases) {
      const error = await refused(gateway.user.createProvider({ workspaceScope, provider }));
      expect([error.code, error.message.includes(SECRET)]).toEqual([Code.InvalidArgument, false]);
    }
  });

  test("the files of the gateway hold no secret in clear, the key file is private, and both survive a restart", async () => {
    const first = await testGateway();
    await first.user.createProvider({ workspaceScope, provider: github("gh") });
    const { directory } = first;
    await first.gateway.close();
    const state = join(directory, "state/gateway");
    expect(statSync(join(state, "provider-key")).mode & 0o777).toBe(0o600);
    for (const file of readdirSync(state)) expect(readFileSync(join(state, file)).includes(SECRET)).toBe(false);
    {
      await using again = await testGateway({}, directory);
      expect(again.gateway.context.providers.providerCredential("default", "gh")?.key).toBe(SECRET);
    }
    rmSync(directory, { recursive: true });
  });

  test("only the sandbox's own supervisor gets its secrets, and hears of changes at once", async () => {
    await using gateway = await testGateway();
    const { user } = gateway;
    await user.createProvider({ workspaceScope, provider: github("gh") });
    const spec = { providers: ["gh"], policy: policyToProto(restrictiveDefault()) };
    const one = await createSandbox(gateway, { name: "one", spec });
    const two = await createSandbox(gateway, { name: "two", spec: {} });
    const [first, second] = [await supervise(gateway, one.id), await supervise(gateway, two.id)];
    const [boot] = updates(first);
    expect(boot?.providerEnvironment?.values.map(({ name, value }) => [name, value])).toEqual([["GITHUB_TOKEN", SECRET]]);
    const binding = boot?.providerEnvironment?.values[0]?.staticCredentialBinding;
    expect([binding?.provider, binding?.declared?.authStyle]).toEqual(["gh", "bearer"]);
    expect(binding?.endpoints.map(({ host, port }) => `${host}:${port}`)).toContain("api.github.com:443");
    expect(
      boot?.sandboxConfig?.policy?.networkPolicies["_provider_gh"]?.endpoints.every(({ providerCredentialed }) => providerCredentialed),
    ).toBe(true);

    // Rotation.
    await user.updateProvider({ workspaceScope, provider: github("gh", `${SECRET}-new`) });
    await until(() => updates(first).length === 2);
    expect(updates(first)[1]?.providerEnvironment?.values[0]?.value).toBe(`${SECRET}-new`);
    expect(updates(second)).toHaveLength(1);
    expect(updates(second)[0]?.providerEnvironment?.values).toEqual([]);

    // Another sandbox, a user and the inside get nothing.
    const own = gateway.as({ bearer: await gateway.token(one.id) });
    const answer = await own.getSandboxProviderEnvironment({ sandboxId: one.id });
    expect(answer.environment).toEqual({ GITHUB_TOKEN: `${SECRET}-new` });
    const other = gateway.as({ bearer: await gateway.token(two.id) });
    expect((await refused(other.getSandboxProviderEnvironment({ sandboxId: one.id }))).code).toBe(Code.PermissionDenied);
    expect((await refused(user.getSandboxProviderEnvironment({ sandboxId: one.id }))).code).toBe(Code.PermissionDenied);
    const { token } = await own.issueSandboxToken({});
    expect((await refused(gateway.as({ bearer: token }).getSandboxProviderEnvironment({ sandboxId: one.id }))).code).toBe(
      Code.PermissionDenied,
    );

    // Detach and attach.
    expect((await user.detachSandboxProvider({ workspaceScope, sandbox: "one", provider: "gh" })).detached).toBe(true);
    await until(() => updates(first).length === 3);
    expect(updates(first)[2]?.providerEnvironment?.values).toEqual([]);
    expect(Object.keys(updates(first)[2]?.sandboxConfig?.policy?.networkPolicies ?? {})).toEqual([]);
    expect((await user.detachSandboxProvider({ workspaceScope, sandbox: "one", provider: "gh" })).detached).toBe(false);
    await user.attachSandboxProvider({ workspaceScope, sandbox: "two", provider: "gh" });
    await until(() => updates(second).length === 2);
    expect(updates(second)[1]?.providerEnvironment?.values).toHaveLength(1);
    expect((await refused(user.deleteProvider({ workspaceScope, name: "gh" }))).code).toBe(Code.FailedPrecondition);
    expect((await user.listSandboxProviders({ workspaceScope, sandbox: "two" })).providers.map(({ type }) => type)).toEqual(["github"]);
    first.disconnect();
    second.disconnect();
  });

  test("whether a change has come about can be asked by its receipt", async () => {
    await using gateway = await testGateway();
    const { user } = gateway;
    await user.createProvider({ workspaceScope, provider: github("gh") });
    const { id } = await createSandbox(gateway, { name: "box", spec: { policy: policyToProto(restrictiveDefault()) } });
    const status = async (receiptId = "") =>
      (await user.getSandboxProviderStatus({ workspaceScope, sandbox: "box", provider: "gh", receiptId })).status;
    const attaching = await supervise(gateway, id);
    await until(async () => (await user.getSandbox({ workspaceScope, name: "box" })).sandbox?.status?.phase === SandboxPhase.READY);
    attaching.accepts = false;
    const { receipt } = await user.attachSandboxProvider({ workspaceScope, sandbox: "box", provider: "gh" });
    expect((await status(receipt?.receiptId))?.state).toBe(ProviderReadinessState.PENDING);
    attaching.disconnect();
    await until(async () => (await status())?.reason === ProviderReadinessReason.WAITING_FOR_SUPERVISOR);
    const supervisor = await supervise(gateway, id);
    await until(async () => (await status(receipt?.receiptId))?.state === ProviderReadinessState.READY);
    const { targetReceipts } = await user.updateProvider({ workspaceScope, provider: github("gh", `${SECRET}-2`) });
    expect((await status(receipt?.receiptId))?.state).toBe(ProviderReadinessState.SUPERSEDED);
    await until(async () => (await status(targetReceipts[0]?.receiptId))?.state === ProviderReadinessState.READY);
    await user.detachSandboxProvider({ workspaceScope, sandbox: "box", provider: "gh" });
    await until(async () => (await status())?.state === ProviderReadinessState.REVOKED);
    expect((await refused(status("x"))).code).toBe(Code.InvalidArgument);
    supervisor.disconnect();
  });

  test("what is derived is never stored: an effective policy that comes back is the same policy, a rule under a derived key is refused", async () => {
    await using gateway = await testGateway();
    const { user } = gateway;
    await user.createProvider({ workspaceScope, provider: github("gh") });
    await createSandbox(gateway, { name: "box", spec: { providers: ["gh"], policy: policyToProto(restrictiveDefault()) } });
    const effective = (await user.getSandboxConfig({ workspaceScope, name: "box" })).policy;
    const rule = effective?.networkPolicies["_provider_gh"];
    if (effective === undefined || rule === undefined) throw new Error("the provider brought no rule");
    expect((await user.updateConfig({ workspaceScope, sandbox: "box", policy: effective })).version).toBe(1);
    const operation = { case: "addRule", value: { ruleName: "_provider_mine", rule: { ...rule, name: "_provider_mine" } } } as const;
    const added = user.updateConfig({ workspaceScope, sandbox: "box", mergeOperations: [{ operation }] });
    expect((await refused(added)).code).toBe(Code.InvalidArgument);
    await user.detachSandboxProvider({ workspaceScope, sandbox: "box", provider: "gh" });
    expect((await user.getSandboxConfig({ workspaceScope, name: "box" })).policy?.networkPolicies).toEqual({});
    // A policy for all sandboxes cannot say whose secrets go where.
    const text = `version: 1
network_policies:
  all:
    endpoints: [{ host: a.example.com, port: 443, credential_binding: { provider: gh } }]
    binaries: [{ path: /usr/bin/curl }]
`;
    const policy = policyToProto(parsePolicyYaml(text, { source: "test" }));
    expect((await refused(user.updateConfig({ workspaceScope, global: true, policy }))).message).toContain("credential_binding");
  });

  test("of all methods that read, two answer with a secret: the supervisor's and the operator's", async () => {
    await using gateway = await testGateway();
    const { user } = gateway;
    await user.createProvider({ workspaceScope, provider: github("gh") });
    const { id } = await createSandbox(gateway, { name: "box", spec: { providers: ["gh"], policy: policyToProto(restrictiveDefault()) } });
    const supervisor = await supervise(gateway, id);
    const bearer = await gateway.token(id);
    const { token: agent } = await gateway.as({ bearer }).issueSandboxToken({});
    const reading = [...OpenShell.methods, ...Inference.methods].filter(
      (method) => method.methodKind === "unary" && /^(Get|List|Attach|Update|Lint|Report)/.test(method.name),
    );
    const telling = new Set<string>();
    for (const credential of [{ certificate: true }, { bearer }, { bearer: agent }]) {
      const transport = gateway.transport(credential);
      for (const method of reading) {
        const named = method.name.includes("Provider") ? "gh" : "box";
        const fields = {
          workspaceScope,
          name: named,
          sandbox: "box",
          provider: "gh",
          sandboxId: id,
          id: "github",
          credentialKeys: ["GITHUB_TOKEN"],
        };
        const request = create(
          method.input as DescMessage,
          Object.fromEntries(Object.entries(fields).filter(([name]) => name in method.input.field)),
        );
        const answer = await transport.unary(method as DescMethodUnary, undefined, 10_000, undefined, request).then(
          ({ message }) => toJsonString(method.output as DescMessage, message),
          (error) => String(error.message),
        );
        if (answer.includes(SECRET)) telling.add(method.name);
      }
    }
    expect([...telling].sort()).toEqual(["GetProviderCredentials", "GetSandboxProviderEnvironment"]);
    for await (const event of user.watchSandbox({
      workspaceScope,
      sandbox: "box",
      followStatus: true,
      followLogs: true,
      followEvents: true,
      logTailLines: 100,
      eventTail: 50,
    })) {
      expect(toJsonString(SandboxStreamEventSchema, event)).not.toContain(SECRET);
      if (event.payload.case === "log") break;
    }
    expect(JSON.stringify(updates(supervisor)[0]?.providerEnvironment?.values.map(({ value }) => value))).toContain(SECRET);
    supervisor.disconnect();
  });

  test("a sandbox with a provider that does not exist is refused", async () => {
    await using gateway = await testGateway();
    const call = gateway.user.createSandbox({ workspaceScope, name: "x", spec: { providers: ["none"] } });
    const error = await refused(call);
    expect([error.code, error.rawMessage.includes("provider 'none' not found")]).toEqual([Code.FailedPrecondition, true]);
  });

  test("an operator reads chosen credentials, nobody else does", async () => {
    await using gateway = await testGateway();
    await gateway.user.createProvider({ workspaceScope, provider: github("gh") });
    const { credentials } = await gateway.user.getProviderCredentials({ workspaceScope, name: "gh", credentialKeys: ["GITHUB_TOKEN"] });
    expect(credentials["GITHUB_TOKEN"]?.value).toBe(SECRET);
    const missing = gateway.user.getProviderCredentials({ workspaceScope, name: "gh", credentialKeys: ["OTHER"] });
    expect((await refused(missing)).code).toBe(Code.NotFound);
  });
});

const record = (name: string, type: string, credentials: Record<string, string> = { K: "secret" }): ProviderRecord => ({
  id: name,
  workspace: "default",
  name,
  type,
  createdAt: 0,
  resourceVersion: 1,
  labels: {},
  annotations: {},
  config: {},
  credentials,
  expirations: {},
});

describe("the policy that providers bring", () => {
  test("every built-in profile makes a valid policy, alone and all together", () => {
    const all = allProfiles().map(({ id }) => record(id, id));
    for (const providers of [...all.map((one) => [one]), all]) {
      const policy = effectivePolicy(restrictiveDefault(), providers, { addRules: true });
      expect([providers[0]?.type, validatePolicy(policy)]).toEqual([providers[0]?.type, []]);
      for (const { endpoints, binaries } of Object.values(policy.networkPolicies))
        expect([endpoints.length > 0, binaries.length > 0]).toEqual([true, true]);
    }
    expect(effectivePolicy(restrictiveDefault(), all, { addRules: false }).networkPolicies).toEqual({});
  });

  test("a person's endpoint that treats the same connections otherwise stands, and is marked", () => {
    const base = restrictiveDefault();
    const github = effectivePolicy(base, [record("gh", "github")], { addRules: true }).networkPolicies["_provider_gh"];
    const [api] = github?.endpoints ?? [];
    if (api === undefined || github === undefined) throw new Error("github has endpoints");
    const own = {
      name: "own",
      binaries: github.binaries,
      endpoints: [{ ...api, enforcement: "audit" as const, providerCredentialed: false }],
    };
    const policy = effectivePolicy({ ...base, networkPolicies: { own } }, [record("gh", "github")], { addRules: true });
    expect(policy.networkPolicies["own"]?.endpoints[0]?.providerCredentialed).toBe(true);
    expect(policy.networkPolicies["_provider_gh"]?.endpoints.map(({ host, protocol }) => `${host} ${protocol}`)).toEqual([
      "api.github.com graphql",
      "github.com rest",
    ]);
    expect(withoutDerived(policy).networkPolicies).toEqual({ own });
  });

  test("two providers of one kind have a rule each", () => {
    const providers = [record("Work.1", "github"), record("work-1", "github")];
    expect(Object.keys(effectivePolicy(restrictiveDefault(), providers, { addRules: true }).networkPolicies)).toEqual([
      "_provider_work_1",
      "_provider_work_1_2",
    ]);
  });
});
