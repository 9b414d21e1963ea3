/** What a supervisor reports of its endpoints and providers, over plain gRPC with the compiled gateway. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { EndpointResult, OpenShell, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";
import { type CallError, type PlainClient, registeredClient, supervisorClient } from "./plain-grpc.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: reports of supervisors: ${missing}`);

const { method } = OpenShell;
const POLICY = {
  version: 1,
  networkPolicies: {
    web: {
      name: "web",
      endpoints: [
        { host: "a.example", ports: [443] },
        { host: "b.example", ports: [443, 8443] },
      ],
      binaries: [{ path: "/usr/bin/curl" }],
    },
  },
};

describe.skipIf(missing !== undefined)("reports of supervisors", () => {
  let host: GatewayHost;
  let person: PlainClient;
  let supervisor: PlainClient;
  let sandboxId: string;
  let session: string;
  let policyHash: string;

  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    person = registeredClient(host);
    const { sandbox } = await person.unary(method.createSandbox, { workspaceScope, name: "box", spec: { policy: POLICY } });
    sandboxId = sandbox?.metadata?.id ?? "";
    await eventually("the sandbox to be ready", 30_000, async () => ((await phase()) === SandboxPhase.READY ? true : undefined));
    supervisor = supervisorClient(host, sandboxId);
    session = (await supervisor.unary(method.refreshSandboxToken, {})).sessionId;
    policyHash = (await person.unary(method.getSandboxConfig, { workspaceScope, name: "box" })).policyHash;
  });
  afterAll(async () => {
    supervisor?.[Symbol.dispose]();
    person?.[Symbol.dispose]();
    await host?.[Symbol.asyncDispose]();
  });

  const sandbox = async () => (await person.unary(method.getSandbox, { workspaceScope, name: "box" })).sandbox;
  const phase = async () => (await sandbox())?.status?.phase;
  const report = (
    sequence: number,
    observations: { endpointId: string; result: EndpointResult; failure?: { code: string } }[],
    more = {},
  ) =>
    supervisor.unary(method.reportEndpointStatus, {
      sandboxId,
      policyHash,
      supervisorSessionId: session,
      reportSequence: BigInt(sequence),
      observations,
      ...more,
    });
  const shown = async () =>
    ((await sandbox())?.status?.endpointStatuses ?? []).map(({ endpointId, host: name, ports, lastResult }) => [
      endpointId,
      name,
      ports,
      lastResult,
    ]);
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => status.OK,
      (error) => (error as CallError).code,
    );

  test("endpoints: the newest result of each, with the endpoint's own host and ports", async () => {
    await report(1, [{ endpointId: "web/1", result: EndpointResult.HTTP_RESPONSE_RECEIVED }]);
    expect(await shown()).toEqual([["web/1", "b.example", [443, 8443], EndpointResult.HTTP_RESPONSE_RECEIVED]]);
    await report(2, [
      { endpointId: "web/0", result: EndpointResult.TRANSPORT_FAILED, failure: { code: "dial\u001b[2J" } },
      { endpointId: "web/9", result: EndpointResult.TLS_FAILED },
    ]);
    expect(await shown()).toEqual([
      ["web/0", "a.example", [443], EndpointResult.TRANSPORT_FAILED],
      ["web/1", "b.example", [443, 8443], EndpointResult.HTTP_RESPONSE_RECEIVED],
    ]);
    expect((await sandbox())?.status?.endpointStatuses[0]?.lastFailure?.code).toBe("dial\\x1b[2J");
  });

  test("an older report, or one of another policy, changes nothing", async () => {
    const before = await shown();
    await report(1, [{ endpointId: "web/1", result: EndpointResult.TLS_FAILED }]);
    await report(9, [{ endpointId: "web/1", result: EndpointResult.TLS_FAILED }], { policyHash: "another" });
    expect(await shown()).toEqual(before);
  });

  test("another session, too many entries, a person: refused", async () => {
    expect(await codeOf(report(10, [], { supervisorSessionId: "another" }))).toBe(status.FAILED_PRECONDITION);
    const many = Array.from({ length: 1001 }, (_, i) => ({ endpointId: `web/${i}`, result: EndpointResult.TLS_FAILED }));
    expect(await codeOf(report(11, many))).toBe(status.INVALID_ARGUMENT);
    expect(await codeOf(person.unary(method.reportEndpointStatus, { sandboxId }))).toBe(status.PERMISSION_DENIED);
    expect(await codeOf(person.unary(method.reportOneTimeRuleUsed, { sandboxId, grantId: "x" }))).toBe(status.PERMISSION_DENIED);
  });

  test("readiness of providers: the newest sequence is accepted", async () => {
    const observe = (sequence: bigint) =>
      supervisor.unary(method.reportProviderReadiness, { sandboxId, observation: { sessionId: session, sequence } });
    expect((await observe(3n)).acceptedSequence).toBe(3n);
    const late = await observe(2n);
    expect(late.acceptedSequence).toBe(3n);
    expect(Number(late.reportInterval?.seconds)).toBeGreaterThan(0);
    expect(await codeOf(supervisor.unary(method.reportProviderReadiness, { sandboxId }))).toBe(status.INVALID_ARGUMENT);
  });

  test("what the supervisor itself sees: an endpoint that cannot be reached, and that its providers are in place", async () => {
    const host9 = "nowhere.invalid";
    const rule = { name: "far", endpoints: [{ host: host9, port: 443, ports: [443] }], binaries: [{ path: "/usr/bin/curl" }] };
    const policy = { version: 1, networkPolicies: { far: rule } };
    await person.unary(method.createSandbox, { workspaceScope, name: "seer", spec: { policy } });
    const seer = async () => (await person.unary(method.getSandbox, { workspaceScope, name: "seer" })).sandbox;
    await eventually("seer to be ready", 30_000, async () => ((await seer())?.status?.phase === SandboxPhase.READY ? true : undefined));
    const command = ["/usr/bin/curl", "-sS", "-m", "20", `https://${host9}/`];
    for await (const _ of person.stream(method.execSandbox, { workspaceScope, sandbox: "seer", command }));
    const status = await eventually("the endpoint's status", 30_000, async () => (await seer())?.status?.endpointStatuses[0]);
    expect([status.endpointId, status.lastResult, status.lastFailure?.code]).toEqual([
      "far/0",
      EndpointResult.TRANSPORT_FAILED,
      "resolution_failed",
    ]);
    expect((await host.cli("sandbox", "get", "seer")).out).toMatch(/far\/0\s+nowhere\.invalid:443\s+transport_failed\s+resolution_failed/);

    const provider = { metadata: { name: "hub" }, type: "github", credentials: { GITHUB_TOKEN: "secret-of-the-test" } };
    await person.unary(method.createProvider, { workspaceScope, provider });
    await person.unary(method.attachSandboxProvider, { workspaceScope, sandbox: "seer", provider: "hub" });
    const observed = await eventually("the supervisor's report", 30_000, async () => {
      const answer = await person.unary(method.getSandboxProviderStatus, { workspaceScope, sandbox: "seer", provider: "hub" });
      const { receipt, observed } = answer.status ?? {};
      return observed?.credentialsInstalled && observed.providerEnvRevision === receipt?.desired?.providerEnvRevision
        ? observed
        : undefined;
    });
    expect(observed.sequence).toBeGreaterThan(0n);
    expect(observed.attachmentEpoch).not.toBe("");
  }, 90_000);

  test("a grant that nobody gave ends nothing", async () => {
    expect(await codeOf(supervisor.unary(method.reportOneTimeRuleUsed, { sandboxId, grantId: "none" }))).toBe(status.OK);
    expect(await codeOf(supervisor.unary(method.reportOneTimeRuleUsed, { sandboxId }))).toBe(status.INVALID_ARGUMENT);
  });
});
