import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { restrictiveDefault } from "../../policy/defaults.ts";
import { policyToProto } from "../../policy/proto.ts";
import { ProcessPolicySchema, SandboxPolicySchema } from "../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { DeletionOutcome, OpenShell, PolicyStatus, SandboxPhase } from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createSandbox, FakeSupervisor, type TestGateway, testGateway, until, workspaceScope } from "./gateway.test-support.ts";

let gw: TestGateway;
beforeAll(async () => {
  gw = await testGateway();
});
afterAll(async () => {
  await gw[Symbol.asyncDispose]();
});

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return ConnectError.from(error).code;
  }
}

async function supervise(id: string): Promise<FakeSupervisor> {
  const { instanceId } = await gw.spec(id);
  return new FakeSupervisor(gw.as({ bearer: await gw.token(id) }), id, instanceId);
}

const phase = async (name: string) => (await gw.user.getSandbox({ workspaceScope, name })).sandbox?.status?.phase;
const policy = policyToProto(restrictiveDefault());

describe("callers", () => {
  test("health is for anyone, everything else needs a credential", async () => {
    const anyone = gw.as({});
    expect((await anyone.health({})).version).not.toBe("");
    expect(await codeOf(anyone.listSandboxes({ workspaceScope }))).toBe(Code.Unauthenticated);
    expect((await gw.user.getCurrentUser({})).roles).toContain("operator");
  });

  test("threat-12 a bearer that is not valid never falls through to the certificate", async () => {
    const client = gw.as({ certificate: true, bearer: "eyJhbGciOiJub25lIn0.e30." });
    expect(await codeOf(client.listSandboxes({ workspaceScope }))).toBe(Code.Unauthenticated);
    const { id } = await createSandbox(gw);
    const { token } = await gw.gateway.context.tokens.issue(id, "agent");
    expect(await codeOf(gw.as({ certificate: true, bearer: token }).listSandboxes({ workspaceScope }))).toBe(Code.PermissionDenied);
  });

  test("a sandbox speaks for itself alone", async () => {
    const [one, two] = [await createSandbox(gw), await createSandbox(gw)];
    const supervisor = gw.as({ bearer: await gw.token(one.id) });
    expect((await supervisor.getSandboxConfig({ workspaceScope, name: one.name })).version).toBe(0);
    expect(await codeOf(supervisor.getSandboxConfig({ workspaceScope, name: two.name }))).toBe(Code.PermissionDenied);
    expect(await codeOf(supervisor.getSandboxConfig({ workspaceScope, name: "" }))).toBe(Code.PermissionDenied);
    expect(await codeOf(supervisor.getSandboxConfig({ name: one.name }))).toBe(Code.InvalidArgument);
    expect(await codeOf(supervisor.reportPolicyStatus({ sandboxId: two.id, version: 1, status: PolicyStatus.LOADED }))).toBe(
      Code.PermissionDenied,
    );
    expect(await codeOf(supervisor.listSandboxes({ workspaceScope }))).toBe(Code.PermissionDenied);
    const foreign = new FakeSupervisor(supervisor, two.id, (await gw.spec(two.id)).instanceId);
    await foreign.ended;
    expect(foreign.received).toEqual([]);
  });

  test("an agent token opens four reading methods of its own sandbox", async () => {
    const { id, name } = await createSandbox(gw);
    const { token } = await gw.as({ bearer: await gw.token(id) }).issueSandboxToken({});
    const agent = gw.as({ bearer: token });
    expect((await agent.getSandbox({ workspaceScope, name })).sandbox?.metadata?.id).toBe(id);
    expect((await agent.getSandboxConfig({ workspaceScope, name })).version).toBe(0);
    expect((await agent.getDraftPolicy({ workspaceScope, sandbox: name })).chunks).toEqual([]);
    expect(await codeOf(agent.updateConfig({ workspaceScope, sandbox: name, policy }))).toBe(Code.PermissionDenied);
    expect(await codeOf(agent.refreshSandboxToken({}))).toBe(Code.PermissionDenied);
  });

  test("tokens end with their sandbox", async () => {
    const { id, name } = await createSandbox(gw);
    const supervisor = gw.as({ bearer: await gw.token(id) });
    await gw.user.deleteSandbox({ workspaceScope, name });
    expect(await codeOf(supervisor.refreshSandboxToken({}))).toBe(Code.Unauthenticated);
  });
});

describe("a sandbox's life", () => {
  test("created, ready with an accepted configuration, gone with everything after delete", async () => {
    const { id, name } = await createSandbox(gw, { name: "life", spec: { policy }, labels: { team: "a" } });
    expect(await phase(name)).toBe(SandboxPhase.PROVISIONING);
    const supervisor = await supervise(id);
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    const { revision, activeVersion } = await gw.user.getSandboxPolicyStatus({ workspaceScope, sandbox: name });
    expect([revision?.version, revision?.status, activeVersion]).toEqual([1, PolicyStatus.LOADED, 1]);
    const directory = join(gw.directory, "state/sandboxes", id);
    expect(statSync(join(directory, "workspace")).uid).toBe((await gw.spec(id)).uid);
    expect(statSync(join(directory, "run/token")).mode & 0o777).toBe(0o600);
    supervisor.disconnect();
    await until(async () => (await phase(name)) === SandboxPhase.PROVISIONING);
    const { outcome, sandboxId } = await gw.user.deleteSandbox({ workspaceScope, name });
    expect([outcome, sandboxId]).toEqual([DeletionOutcome.COMPLETED, id]);
    expect(existsSync(directory)).toBe(false);
    expect(await codeOf(gw.user.getSandbox({ workspaceScope, name }))).toBe(Code.NotFound);
    expect((await gw.user.deleteSandbox({ workspaceScope, name, allowMissing: true })).outcome).toBe(DeletionOutcome.ALREADY_ABSENT);
  });

  test("a supervisor that ends by itself is an error with its reason", async () => {
    const { id, name } = await createSandbox(gw, { name: "crash" });
    const record = JSON.parse(await Bun.file(join(gw.directory, "state/sandboxes", id, "supervisor.json")).text());
    process.kill(record.pid, "SIGKILL");
    await until(async () => (await phase(name)) === SandboxPhase.ERROR);
    const { sandbox } = await gw.user.getSandbox({ workspaceScope, name });
    expect(sandbox?.status?.conditions[0]?.reason).toBe("SupervisorExited");
    expect((await gw.user.startSandbox({ workspaceScope, name })).sandbox?.status?.phase).toBe(SandboxPhase.STARTING);
  });

  test("the main process's exit is kept, and commands still run beside it", async () => {
    const { id, name } = await createSandbox(gw, { name: "main", spec: { policy, command: ["false"] } });
    const { instanceId } = await gw.spec(id);
    const supervisor = await supervise(id);
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    await supervisor.client.reportMainProcessExit({ sandboxId: id, instanceId, exitCode: 3 });
    const { sandbox } = await gw.user.getSandbox({ workspaceScope, name });
    expect([sandbox?.status?.phase, sandbox?.status?.exitCode]).toEqual([SandboxPhase.ERROR, 3]);
    expect(await run(name, ["id"])).toEqual({ out: "id\n", exit: 7 });
  });

  test("stop keeps the sandbox and start brings up another instance", async () => {
    const { id, name } = await createSandbox(gw, { name: "pause", spec: { policy } });
    const before = (await gw.spec(id)).instanceId;
    expect((await gw.user.stopSandbox({ workspaceScope, name })).sandbox?.status?.phase).toBe(SandboxPhase.STOPPED);
    expect(await codeOf(run(name, ["true"]))).toBe(Code.FailedPrecondition);
    await gw.user.startSandbox({ workspaceScope, name });
    await until(async () => (await gw.spec(id)).instanceId !== before);
    // The old instance may not speak for the sandbox any more.
    const old = new FakeSupervisor(gw.as({ bearer: await gw.token(id) }), id, before);
    await old.ended;
    expect(old.received.map((m) => m.payload.case)).toEqual(["sessionRejected"]);
  });

  test("names: taken, reserved, too long, generated", async () => {
    await createSandbox(gw, { name: "taken" });
    const attempt = (name: string) => codeOf(gw.user.createSandbox({ workspaceScope, spec: {}, name }));
    expect(await attempt("taken")).toBe(Code.AlreadyExists);
    expect(await attempt("approve")).toBe(Code.InvalidArgument);
    expect(await attempt("x".repeat(64))).toBe(Code.InvalidArgument);
    expect(await attempt("Upper")).toBe(Code.InvalidArgument);
    expect((await createSandbox(gw)).name).toMatch(/^[a-z]+-[a-z]+/);
  });

  test("request_id: the same request is answered again, another is refused", async () => {
    const requestId = crypto.randomUUID();
    const request = { workspaceScope, spec: {}, requestId };
    const first = await gw.user.createSandbox(request);
    expect((await gw.user.createSandbox(request)).sandbox?.metadata?.id).toBe(first.sandbox?.metadata?.id);
    expect(await codeOf(gw.user.createSandbox({ ...request, labels: { a: "b" } }))).toBe(Code.InvalidArgument);
    expect(await codeOf(gw.user.createSandbox({ ...request, requestId: "7" }))).toBe(Code.InvalidArgument);
  });

  test("lists page by page, with a token bound to its parameters", async () => {
    for (const n of [1, 2, 3]) await createSandbox(gw, { name: `page-${n}`, labels: { paged: "yes" } });
    const list = (pageToken: string, labelSelector = "paged=yes") =>
      gw.user.listSandboxes({ workspaceScope, pageSize: 2, labelSelector, pageToken });
    const first = await list("");
    expect(first.sandboxes.map((s) => s.metadata?.name)).toEqual(["page-1", "page-2"]);
    const second = await list(first.nextPageToken);
    expect(second.sandboxes.map((s) => s.metadata?.name)).toEqual(["page-3"]);
    expect(second.nextPageToken).toBe("");
    expect(await codeOf(list(first.nextPageToken, ""))).toBe(Code.InvalidArgument);
    expect(await codeOf(gw.user.listSandboxes({ workspaceScope, pageSize: -1 }))).toBe(Code.InvalidArgument);
    expect(await codeOf(gw.user.listSandboxes({}))).toBe(Code.InvalidArgument);
  });

  test("a path of the host needs the operator's permission", async () => {
    const mounts = [{ source: "/root", target: "/sandbox/root", readWrite: true }];
    expect(await codeOf(gw.user.createSandbox({ workspaceScope, spec: { mounts } }))).toBe(Code.InvalidArgument);
  });
});

async function run(name: string, command: string[], stdin = ""): Promise<{ out: string; exit: number | undefined }> {
  let out = "";
  let exit: number | undefined;
  for await (const { payload } of gw.user.execSandbox({ workspaceScope, sandbox: name, command, stdin: new TextEncoder().encode(stdin) })) {
    if (payload.case === "stdout") out += new TextDecoder().decode(payload.value.data);
    if (payload.case === "exit") exit = payload.value.exitCode;
  }
  return { out, exit };
}

describe("policy", () => {
  test("seed flow: none, synced by the supervisor, pushed, acknowledged", async () => {
    const { id, name } = await createSandbox(gw, { name: "seed" });
    const supervisor = await supervise(id);
    await until(() => supervisor.received.length > 0);
    expect(await phase(name)).toBe(SandboxPhase.PROVISIONING);
    expect((await supervisor.client.getSandboxConfig({ workspaceScope, name })).version).toBe(0);
    expect((await supervisor.client.updateConfig({ workspaceScope, sandbox: name, policy })).version).toBe(1);
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    expect((await gw.user.getSandbox({ workspaceScope, name })).sandbox?.spec?.policy).toBeDefined();
    const rule = { name: "r", endpoints: [{ host: "api.example.test", port: 443 }], binaries: [{ path: "/usr/bin/curl" }] };
    const next = create(SandboxPolicySchema, { version: 1, networkPolicies: { r: rule } });
    Object.assign(next, { filesystem: policy.filesystem, landlock: policy.landlock, process: policy.process });
    expect(await codeOf(supervisor.client.updateConfig({ workspaceScope, sandbox: name, policy: next }))).toBe(Code.PermissionDenied);
    const { version } = await gw.user.updateConfig({ workspaceScope, sandbox: name, policy: next });
    expect(version).toBe(2);
    expect((await gw.user.updateConfig({ workspaceScope, sandbox: name, policy: next })).version).toBe(2);
    await until(
      async () => (await gw.user.getSandboxPolicyStatus({ workspaceScope, sandbox: name })).revision?.status === PolicyStatus.LOADED,
    );
    const { revisions } = await gw.user.listSandboxPolicies({ workspaceScope, sandbox: name });
    expect(revisions.map((r) => [r.version, r.status])).toEqual([
      [2, PolicyStatus.LOADED],
      [1, PolicyStatus.SUPERSEDED],
    ]);
    supervisor.accepts = false;
    await gw.user.updateConfig({
      workspaceScope,
      sandbox: name,
      mergeOperations: [{ operation: { case: "removeRule", value: { ruleName: "r" } } }],
    });
    await until(
      async () => (await gw.user.getSandboxPolicyStatus({ workspaceScope, sandbox: name })).revision?.status === PolicyStatus.FAILED,
    );
    expect(await phase(name)).toBe(SandboxPhase.READY);
    expect((await gw.user.getSandboxPolicyStatus({ workspaceScope, sandbox: name })).activeVersion).toBe(2);
  });

  test("what is fixed at creation stays; a bad policy names its field", async () => {
    const { name } = await createSandbox(gw, { spec: { policy } });
    const other = { ...policy, process: create(ProcessPolicySchema, { runAsUser: "1234", runAsGroup: "1234" }) };
    expect(await codeOf(gw.user.updateConfig({ workspaceScope, sandbox: name, policy: other }))).toBe(Code.InvalidArgument);
    expect(await codeOf(gw.user.updateConfig({ workspaceScope, sandbox: name, policy: { ...policy, version: 9 } }))).toBe(
      Code.InvalidArgument,
    );
    expect(await codeOf(gw.user.updateConfig({ workspaceScope, sandbox: name }))).toBe(Code.InvalidArgument);
    expect(await codeOf(gw.user.updateConfig({ workspaceScope, sandbox: name, policy, expectedResourceVersion: 99n }))).toBe(Code.Aborted);
  });

  test("case-01: the agent's user is sandbox; root, accounts of the host and numbers that the operator did not list are refused", async () => {
    for (const runAsUser of ["root", "0", "nobody", "1234"]) {
      const named = { ...policy, process: create(ProcessPolicySchema, { runAsUser }) };
      const refusal = await createSandbox(gw, { spec: { policy: named } }).then(
        () => undefined,
        (error) => ConnectError.from(error),
      );
      expect({ runAsUser, code: refusal?.code, message: refusal?.rawMessage }).toEqual({
        runAsUser,
        code: Code.InvalidArgument,
        message: expect.stringContaining("run_as_user"),
      });
    }
  });

  test("settings: typed, pushed, the gateway's win", async () => {
    const { id, name } = await createSandbox(gw, { spec: { policy } });
    const supervisor = await supervise(id);
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    const set = (settingKey: string, value: string, global = false) =>
      gw.user.updateConfig({
        workspaceScope,
        sandbox: global ? "" : name,
        settingKey,
        settingValue: { value: { case: "stringValue", value } },
        global,
      });
    expect(await codeOf(set("nonsense", "x"))).toBe(Code.InvalidArgument);
    expect(await codeOf(set("policy_advisor", "maybe"))).toBe(Code.InvalidArgument);
    const before = supervisor.received.length;
    await set("policy_advisor", "off");
    await until(() => supervisor.received.length > before);
    const pushed = supervisor.received.at(-1)?.payload;
    expect(pushed?.case === "configUpdate" && pushed.value.sandboxConfig?.settings["policy_advisor"]?.value?.value.value).toBe("off");
    await set("policy_advisor", "model", true);
    expect(await codeOf(set("policy_advisor", "rules"))).toBe(Code.FailedPrecondition);
    expect((await gw.user.getGatewayConfig({})).settings["policy_advisor"]?.value.value).toBe("model");
    await gw.user.updateConfig({ settingKey: "policy_advisor", deleteSetting: true, global: true });
  });
});

describe("exec", () => {
  test("input, output, exit, in that order, twenty at once", async () => {
    const { id, name } = await createSandbox(gw, { name: "exec", spec: { policy } });
    await supervise(id);
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    const big = "x".repeat(300_000);
    expect(await run(name, ["cat"], big)).toEqual({ out: `cat\n${big}`, exit: 7 });
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => run(name, [`c${i}`])));
    expect(all.map(({ out }) => out)).toEqual(Array.from({ length: 20 }, (_, i) => `c${i}\n`));
  });

  test("a caller that goes away ends the channel", async () => {
    const { id, name } = await createSandbox(gw, { name: "cancel", spec: { policy } });
    const supervisor = await supervise(id);
    const closed = Promise.withResolvers<void>();
    supervisor.exec = async function* (_start, input) {
      yield { case: "execEvent", value: { payload: { case: "stdout", value: { data: new Uint8Array([1]) } } } } as const;
      try {
        for await (const _ of input);
      } finally {
        closed.resolve();
      }
    };
    await until(async () => (await phase(name)) === SandboxPhase.READY);
    const abort = new AbortController();
    try {
      for await (const _ of gw.user.execSandbox({ workspaceScope, sandbox: name, command: ["sleep"] }, { signal: abort.signal }))
        abort.abort();
    } catch {
      // Cancelled, as asked.
    }
    await closed.promise;
  });

  test("what execve would refuse is refused with both numbers", async () => {
    const { name } = await createSandbox(gw, { spec: { policy } });
    const call = gw.user.execSandbox({
      workspaceScope,
      sandbox: name,
      command: ["x"],
      environment: { OPENSHELL_PYFUNC_B64: "a".repeat(131_072) },
    });
    let message = "";
    try {
      for await (const _ of call);
    } catch (error) {
      message = ConnectError.from(error).rawMessage;
    }
    expect(message).toContain("131072 bytes, at most 131049");
  });
});

describe("watch and logs", () => {
  test("a snapshot first, then changes, logs and the end", async () => {
    const { id, name } = await createSandbox(gw, { name: "watch", spec: { policy } });
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { payload } of gw.user.watchSandbox({
        workspaceScope,
        sandbox: name,
        followStatus: true,
        followLogs: true,
        followEvents: true,
        logSources: ["sandbox"],
      })) {
        if (payload.case === "sandbox") seen.push(SandboxPhase[payload.value.status?.phase ?? 0] ?? "");
        if (payload.case === "log") seen.push(payload.value.message);
      }
    })();
    await until(() => seen.length > 0);
    expect(seen[0]).toBe("PROVISIONING");
    const supervisor = await supervise(id);
    await until(() => seen.includes("READY"));
    await supervisor.client.pushSandboxLogs(
      (async function* () {
        yield { sandboxId: id, logs: [{ level: "OCSF", message: "denied", source: "gateway" }] };
      })(),
    );
    await until(() => seen.includes("denied"));
    const { logs, bufferTotal } = await gw.user.getSandboxLogs({ workspaceScope, sandbox: name, sources: ["sandbox"] });
    expect([logs.length, logs[0]?.source]).toEqual([1, "sandbox"]);
    expect(bufferTotal).toBeGreaterThan(1);
    await gw.user.deleteSandbox({ workspaceScope, name });
    await watching;
  });

  test("stop_on_terminal ends at READY; a foreign cursor is OUT_OF_RANGE", async () => {
    const { id, name } = await createSandbox(gw, { spec: { policy } });
    const watching = (async () => {
      let last: SandboxPhase | undefined;
      for await (const { payload } of gw.user.watchSandbox({ workspaceScope, sandbox: name, followStatus: true, stopOnTerminal: true })) {
        if (payload.case === "sandbox") last = payload.value.status?.phase;
      }
      return last;
    })();
    await supervise(id);
    expect(await watching).toBe(SandboxPhase.READY);
    const foreign = gw.user.watchSandbox({ workspaceScope, sandbox: name, resumeAfterCursor: "bm9uZQ" })[Symbol.asyncIterator]();
    expect(await codeOf(foreign.next())).toBe(Code.OutOfRange);
  });
});

describe("the process", () => {
  test("health pages; a second gateway names the first", async () => {
    const get = (path: string) => fetch(`${gw.gateway.endpoint}${path}`, { tls: { ca: Bun.file(join(gw.directory, "state/tls/ca.crt")) } });
    expect((await get("/healthz")).status).toBe(200);
    expect(await (await get("/readyz")).json()).toMatchObject({ status: "healthy" });
    expect((await get("/else")).status).toBe(404);
    expect(testGateway({}, gw.directory)).rejects.toThrow(`pid ${process.pid}`);
  });

  test("one port speaks gRPC, gRPC-Web and Connect, over HTTP/2 and HTTP/1.1", async () => {
    const nodeOptions = { ca: await Bun.file(join(gw.directory, "state/tls/ca.crt")).text(), rejectUnauthorized: true };
    const baseUrl = gw.gateway.endpoint;
    for (const httpVersion of ["1.1", "2"] as const) {
      for (const transport of [createGrpcWebTransport, createConnectTransport]) {
        const client = createClient(OpenShell, transport({ baseUrl, httpVersion, nodeOptions }));
        expect((await client.health({})).version).not.toBe("");
        expect(await codeOf(client.listSandboxes({ workspaceScope }))).toBe(Code.Unauthenticated);
      }
    }
  });

  test("--disable-tls: plaintext on loopback, where a wrong bearer still opens nothing", async () => {
    await using plain = await testGateway({ disableTls: true });
    expect((await plain.as({}).getCurrentUser({})).subject).toBe("local");
    expect((await fetch(`${plain.gateway.endpoint}/healthz`)).status).toBe(200);
    const { id, name } = await createSandbox(plain);
    const { token } = await plain.gateway.context.tokens.issue(id, "agent");
    expect(await codeOf(plain.as({ bearer: token }).deleteSandbox({ workspaceScope, name }))).toBe(Code.PermissionDenied);
    expect(await codeOf(plain.as({ bearer: "x" }).listSandboxes({ workspaceScope }))).toBe(Code.Unauthenticated);
    expect(testGateway({ disableTls: true, bindAddress: "0.0.0.0" })).rejects.toThrow("loopback");
  });

  test("a supervisor and files that no record owns are removed at start", async () => {
    const first = await testGateway();
    const { id } = await createSandbox(first);
    const { pid } = JSON.parse(await Bun.file(join(first.directory, "state/sandboxes", id, "supervisor.json")).text());
    first.gateway.context.repository.delete(id); // as if a kill had come between the process and its record
    await first.gateway.close();
    const second = await testGateway({}, first.directory);
    expect(existsSync(join(first.directory, "state/sandboxes", id))).toBe(false);
    await until(() => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z "));
    await second[Symbol.asyncDispose]();
    rmSync(first.directory, { recursive: true });
  });

  test("a restart finds running supervisors again, with a fresh token", async () => {
    const first = await testGateway();
    const { id, name } = await createSandbox(first, { spec: { policy } });
    const token = await first.token(id);
    const { instanceId } = await first.spec(id);
    await first.gateway.close();
    const second = await testGateway({}, first.directory);
    try {
      expect((await second.spec(id)).instanceId).toBe(instanceId);
      expect(await second.token(id)).not.toBe(token);
      new FakeSupervisor(second.as({ bearer: await second.token(id) }), id, instanceId);
      await until(async () => (await second.user.getSandbox({ workspaceScope, name })).sandbox?.status?.phase === SandboxPhase.READY);
      await second.user.deleteSandbox({ workspaceScope, name });
    } finally {
      await second[Symbol.asyncDispose]();
      rmSync(first.directory, { recursive: true });
    }
  });
});
