import { expect, test } from "bun:test";
import { policyToProto } from "../../../policy/proto.ts";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { createSandbox, testGateway, workspaceScope } from "../gateway.test-support.ts";

const policy = (host: string) =>
  policyToProto(
    parsePolicyYaml(
      `version: 1
network_policies:
  api:
    endpoints: [{ host: ${host}, port: 443 }]
    binaries: [{ path: /usr/bin/curl }]
`,
      { source: "test" },
    ),
  );

test("a poll that knows what is in force is answered so; every change is answered in full", async () => {
  await using gateway = await testGateway();
  const { id, name } = await createSandbox(gateway, { spec: { policy: policy("one.example.com") } });
  const client = gateway.as({ bearer: await gateway.token(id) });
  const poll = (knownRevision: bigint) => client.getSandboxConfig({ workspaceScope, name, knownRevision });

  let full = await poll(0n);
  expect([full.unchanged, full.version]).toEqual([false, 1]);
  const same = await poll(full.configRevision);
  expect(same).toMatchObject({
    unchanged: true,
    version: 1,
    policyHash: full.policyHash,
    configRevision: full.configRevision,
    settings: {},
  });
  expect([same.policy, same.providerEnvRevision]).toEqual([undefined, full.providerEnvRevision]);

  const changes = [
    () => gateway.user.updateConfig({ workspaceScope, sandbox: name, policy: policy("two.example.com") }),
    () => gateway.user.updateConfig({ workspaceScope, sandbox: name, settingKey: "ocsf_json_enabled", settingValue: bool(true) }),
    () => gateway.user.updateConfig({ global: true, settingKey: "ocsf_json_enabled", settingValue: bool(false) }),
    () => gateway.user.updateConfig({ global: true, policy: policy("all.example.com") }),
    () => gateway.user.updateConfig({ global: true, settingKey: "policy", deleteSetting: true }),
  ];
  let unchanged = 0;
  for (const change of changes) {
    const before = full.configRevision;
    await change();
    const next = await poll(before);
    full = await poll(0n);
    expect(next.unchanged).toBe(full.configRevision === before);
    if (next.unchanged) unchanged++;
    else expect(next).toEqual(full);
  }
  // What all share may be what the sandbox has itself.
  expect(unchanged).toBeLessThanOrEqual(1);
}, 60_000);

const bool = (value: boolean) => ({ value: { case: "boolValue" as const, value } });
