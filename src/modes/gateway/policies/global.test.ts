import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import { policyToProto } from "../../../policy/proto.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { PolicySource } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { PolicyStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createSandbox, FakeSupervisor, type TestGateway, testGateway, until, workspaceScope } from "../gateway.test-support.ts";

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

function policyFor(host: string) {
  const text = `version: 1\nnetwork_policies:\n  one:\n    endpoints: [{ host: ${host}, port: 443 }]\n    binaries: [{ path: /usr/bin/curl }]\n`;
  return policyToProto({ ...restrictiveDefault(), networkPolicies: parsePolicyYaml(text, { source: "test" }).networkPolicies });
}

const config = (name: string) => gw.user.getSandboxConfig({ workspaceScope, name });
const deleteGlobal = () => gw.user.updateConfig({ workspaceScope, global: true, settingKey: "policy", deleteSetting: true });

describe("the policy for all sandboxes", () => {
  test("is in force instead of a sandbox's own, is pushed, blocks changes, and gives the own one back", async () => {
    const own = await createSandbox(gw, { spec: { policy: policyFor("own.example.com") } as never });
    const { instanceId } = await gw.spec(own.id);
    const supervisor = new FakeSupervisor(gw.as({ bearer: await gw.token(own.id) }), own.id, instanceId);
    const pushed = () =>
      supervisor.received.flatMap(({ payload }) =>
        payload.case === "configUpdate" && payload.value.sandboxConfig ? [payload.value.sandboxConfig] : [],
      );
    await until(() => supervisor.received.length > 0);

    const set = await gw.user.updateConfig({ workspaceScope, global: true, policy: policyFor("all.example.com") });
    expect(set.version).toBe(1);
    await until(() => pushed().length === 1);
    expect(pushed()[0]).toMatchObject({
      policySource: PolicySource.GLOBAL,
      globalPolicyVersion: 1,
      version: 1,
      policyHash: set.policyHash,
    });
    expect(await config(own.name)).toMatchObject({ policySource: PolicySource.GLOBAL, policyHash: set.policyHash });

    expect(await codeOf(gw.user.updateConfig({ workspaceScope, sandbox: own.name, policy: policyFor("other.example.com") }))).toBe(
      Code.FailedPrecondition,
    );
    const again = await gw.user.updateConfig({ workspaceScope, global: true, policy: policyFor("all.example.com") });
    expect(again.version).toBe(1);
    const second = await gw.user.updateConfig({ workspaceScope, global: true, policy: policyFor("two.example.com") });
    expect(second.version).toBe(2);
    const { revisions } = await gw.user.listSandboxPolicies({ workspaceScope, global: true });
    expect(revisions.map(({ version, status }) => [version, status])).toEqual([
      [2, PolicyStatus.LOADED],
      [1, PolicyStatus.SUPERSEDED],
    ]);
    expect((await gw.user.getSandboxPolicyStatus({ workspaceScope, global: true })).activeVersion).toBe(2);

    expect((await deleteGlobal()).deleted).toBe(true);
    expect((await deleteGlobal()).deleted).toBe(false);
    expect(await config(own.name)).toMatchObject({ policySource: PolicySource.SANDBOX, version: 1 });
    await until(() => pushed().at(-1)?.policySource === PolicySource.SANDBOX);
    expect(await codeOf(gw.user.getSandboxPolicyStatus({ workspaceScope, global: true }))).toBe(Code.NotFound);
    supervisor.disconnect();
  });

  test("operations change it; without one there is nothing to change; a sandbox cannot touch it", async () => {
    const removeRule = [{ operation: { case: "removeRule", value: { ruleName: "one" } } }] as never;
    expect(await codeOf(gw.user.updateConfig({ workspaceScope, global: true, mergeOperations: removeRule }))).toBe(Code.FailedPrecondition);
    await gw.user.updateConfig({ workspaceScope, global: true, policy: policyFor("all.example.com") });
    const { version } = await gw.user.updateConfig({ workspaceScope, global: true, mergeOperations: removeRule });
    const { revision } = await gw.user.getSandboxPolicyStatus({ workspaceScope, global: true, version });
    expect(Object.keys(revision?.policy?.networkPolicies ?? {})).toEqual([]);
    const { id } = await createSandbox(gw);
    const sandbox = gw.as({ bearer: await gw.token(id) });
    expect(await codeOf(sandbox.updateConfig({ workspaceScope, global: true, policy: policyFor("evil.example.com") }))).toBe(
      Code.PermissionDenied,
    );
    await deleteGlobal();
  });

  test("a sandbox that never had its own gets the restrictive one when it is deleted", async () => {
    await gw.user.updateConfig({ workspaceScope, global: true, policy: policyFor("all.example.com") });
    const { id, name } = await createSandbox(gw);
    const { instanceId } = await gw.spec(id);
    const supervisor = new FakeSupervisor(gw.as({ bearer: await gw.token(id) }), id, instanceId);
    await until(async () => (await gw.user.getSandbox({ workspaceScope, name })).sandbox?.status?.configurationAdmission !== undefined);
    await deleteGlobal();
    const own = await config(name);
    expect([own.policySource, own.version, Object.keys(own.policy?.networkPolicies ?? {})]).toEqual([PolicySource.SANDBOX, 1, []]);
    supervisor.disconnect();
  });
});
