/** What the published Python SDK does, call by call, over plain gRPC: what it relies on must be in the answers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema } from "../../src/rpc/gen/google/rpc/error_details_pb.ts";
import {
  DeletionOutcome,
  OpenShell,
  type Sandbox,
  SandboxPhase,
  ServiceAuthorizationMode,
  ServiceStatus,
} from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "./host.ts";
import { failureOf, type PlainClient, registeredClient } from "./plain-grpc.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: the Python SDK's calls: ${missing}`);

const { method } = OpenShell;
const workspaceScope = { selection: { case: "workspace", value: "default" } } as const;
const allWorkspaces = { selection: { case: "allWorkspaces", value: {} } } as const;

interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe.skipIf(missing !== undefined)("the Python SDK", () => {
  let host: GatewayHost;
  let client: PlainClient;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    client = registeredClient(host);
  });
  afterAll(async () => {
    client[Symbol.dispose]();
    await host[Symbol.asyncDispose]();
  });

  const create = async (name = ""): Promise<Sandbox> => {
    const { sandbox } = await client.unary(method.createSandbox, { workspaceScope, name, spec: {} });
    if (sandbox === undefined) throw new Error("no sandbox in the answer");
    return sandbox;
  };
  const get = async (name: string): Promise<Sandbox> => {
    const { sandbox } = await client.unary(method.getSandbox, { workspaceScope, name });
    if (sandbox === undefined) throw new Error("no sandbox in the answer");
    return sandbox;
  };
  /** `wait_ready`: STOPPED and ERROR fail at once, everything but READY and COMPLETED is polled on. */
  const waitReady = async (name: string): Promise<Sandbox> => {
    for (;;) {
      const sandbox = await get(name);
      const phase = sandbox.status?.phase;
      expect([SandboxPhase.STOPPED, SandboxPhase.ERROR]).not.toContain(phase as SandboxPhase);
      if (phase === SandboxPhase.READY || phase === SandboxPhase.COMPLETED) return sandbox;
      await Bun.sleep(20);
    }
  };
  /** `exec`: joins the stream; an exit event that is missing or followed by an error loses the result. */
  const exec = async (sandbox: string, command: string[], more: Partial<Parameters<typeof execRequest>[0]> = {}): Promise<ExecResult> => {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const exits: number[] = [];
    const seconds = Number(more.executionTimeout?.seconds ?? 0);
    const deadline = Math.max(30, seconds === 0 ? 0 : seconds + 10) * 1000;
    for await (const { payload } of client.stream(method.execSandbox, execRequest({ sandbox, command, ...more }), deadline)) {
      if (payload.case === "stdout") out.push(Buffer.from(payload.value.data));
      else if (payload.case === "stderr") err.push(Buffer.from(payload.value.data));
      else if (payload.case === "exit") exits.push(payload.value.exitCode);
    }
    expect(exits).toHaveLength(1);
    return { exitCode: exits[0] ?? -1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
  };
  const execRequest = (request: {
    sandbox: string;
    command: string[];
    stdin?: Uint8Array;
    environment?: Record<string, string>;
    workdir?: string;
    executionTimeout?: { seconds: bigint };
  }) => ({ workspaceScope, ...request });
  const bytes = (text: string) => new TextEncoder().encode(text);

  test("health, whoever asks", async () => {
    const answer = await client.unary(method.health, {});
    expect(answer.status).toBe(ServiceStatus.HEALTHY);
    expect(answer.version).toMatch(/^\d+\.\d+\.\d+/);
  });

  describe("sandboxes", () => {
    test("create with an empty spec and no name; ready without ever looking failed; every message names its workspace", async () => {
      const made = await create();
      expect(made.metadata?.id).toMatch(/^[0-9a-f-]{36}$/);
      expect(made.metadata).toMatchObject({ workspace: "default", labels: {} });
      const name = made.metadata?.name ?? "";
      const ready = await waitReady(name);
      expect(ready.metadata).toMatchObject({ id: made.metadata?.id, name, workspace: "default" });
      expect(ready.status?.conditions[0]).toMatchObject({
        type: "Ready",
        status: "True",
        reason: expect.stringMatching(/^[A-Z][A-Za-z]+$/),
      });
      expect(ready.status?.conditions[0]?.transitionTime).toBeDefined();
      expect(ready.status?.currentPolicyVersion).toBe(1);
      expect(ready.status?.exitCode).toBeUndefined();
      expect(ready.createdFromWorkloadTemplate).toBeUndefined();
    });

    test("stop and start: the answers are whole, and a started sandbox is not STOPPED", async () => {
      const name = (await create("sdk-power")).metadata?.name ?? "";
      await waitReady(name);
      const stopped = (await client.unary(method.stopSandbox, { workspaceScope, name })).sandbox;
      expect(stopped?.metadata).toMatchObject({ name, workspace: "default" });
      for (let phase = stopped?.status?.phase; phase !== SandboxPhase.STOPPED; ) {
        expect(phase).not.toBe(SandboxPhase.ERROR);
        phase = (await get(name)).status?.phase;
      }
      const started = (await client.unary(method.startSandbox, { workspaceScope, name })).sandbox;
      expect(started?.metadata).toMatchObject({ name, workspace: "default" });
      expect(started?.status?.phase).not.toBe(SandboxPhase.STOPPED);
      expect((await waitReady(name)).status?.restartCount).toBe(1);
    });

    test("lists: pages end with an empty token, no token comes twice, labels select, all workspaces", async () => {
      for (const number of [1, 2, 3]) {
        const labels = { "managed-by": "sdk", "example.test/number": String(number) };
        await client.unary(method.createSandbox, { workspaceScope, name: `sdk-list-${number}`, labels, spec: {} });
      }
      const names: string[] = [];
      const tokens = new Set<string>();
      for (let pageToken = ""; ; ) {
        const page = await client.unary(method.listSandboxes, {
          workspaceScope,
          pageSize: 2,
          pageToken,
          labelSelector: "managed-by=sdk",
        });
        names.push(...page.sandboxes.map(({ metadata }) => metadata?.name ?? ""));
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
        expect(tokens.has(pageToken)).toBe(false);
        tokens.add(pageToken);
      }
      expect(names).toEqual(["sdk-list-1", "sdk-list-2", "sdk-list-3"]);
      const everywhere = await client.unary(method.listSandboxes, { workspaceScope: allWorkspaces, pageSize: 100, labelSelector: "" });
      expect(everywhere.sandboxes.map(({ metadata }) => metadata?.name)).toEqual(expect.arrayContaining(names));
      for (const { metadata } of everywhere.sandboxes) expect(metadata?.workspace).not.toBe("");
    });

    test("delete: COMPLETED names the id, then NOT_FOUND; again it is ALREADY_ABSENT or NOT_FOUND", async () => {
      const { metadata } = await create("sdk-delete");
      const name = "sdk-delete";
      const gone = await client.unary(method.deleteSandbox, { workspaceScope, name });
      expect(gone).toMatchObject({ outcome: DeletionOutcome.COMPLETED, sandboxId: metadata?.id });
      expect((await failureOf(client.unary(method.getSandbox, { workspaceScope, name }))).code).toBe(status.NOT_FOUND);
      const again = await client.unary(method.deleteSandbox, { workspaceScope, name, allowMissing: true });
      expect(again.outcome).toBe(DeletionOutcome.ALREADY_ABSENT);
      expect((await failureOf(client.unary(method.deleteSandbox, { workspaceScope, name }))).code).toBe(status.NOT_FOUND);
    });

    test("what this gateway cannot give is refused at create, and leaves no name behind", async () => {
      const exposed = [{ service: "", targetPort: 8000, authorizationMode: ServiceAuthorizationMode.STRIP }];
      for (const [more, code] of [
        [{ serviceExposures: exposed }, status.UNIMPLEMENTED],
        [{ spec: { resourceRequirements: { gpu: { count: 1 } } } }, status.FAILED_PRECONDITION],
        [{ workloadTemplate: "small" }, status.UNIMPLEMENTED],
      ] as const) {
        const error = await failureOf(client.unary(method.createSandbox, { workspaceScope, name: "sdk-refused", spec: {}, ...more }));
        expect([more, error.code, error.details]).toEqual([more, code, expect.stringMatching(/\w+ \w+/)]);
      }
      expect((await failureOf(get("sdk-refused"))).code).toBe(status.NOT_FOUND);
    });

    test("the main process, its exit code and its end; labels with dots", async () => {
      const labels = { "managed-by": "openenv", "openenv.provider": "openshell" };
      const resources = { limits: { cpu: "1", memory: "512Mi" } };
      const spec = { command: ["/bin/sh", "-c", "exit 3"], environment: { A: "b" }, template: { resources } };
      await client.unary(method.createSandbox, { workspaceScope, name: "sdk-main", labels, spec });
      await eventually("the main process to end", 30_000, async () =>
        (await get("sdk-main")).status?.exitCode === undefined ? undefined : true,
      );
      const ended = await get("sdk-main");
      expect(ended.metadata?.labels).toEqual(labels);
      expect(ended.status).toMatchObject({ phase: SandboxPhase.ERROR, exitCode: 3 });
      expect(ended.status?.mainProcessStartedTime).toBeDefined();
    });

    test("a taken name is ALREADY_EXISTS", async () => {
      await create("sdk-taken");
      expect((await failureOf(create("sdk-taken"))).code).toBe(status.ALREADY_EXISTS);
    });
  });

  describe("commands", () => {
    const box = "sdk-exec";
    beforeAll(async () => {
      await create(box);
      await waitReady(box);
    });

    test("output and exit code; a missing program is an exit, not an error", async () => {
      expect(await exec(box, ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])).toEqual({
        exitCode: 7,
        stdout: "out\n",
        stderr: "err\n",
      });
      expect((await exec(box, ["no-such-program"])).exitCode).toBe(127);
      expect((await exec(box, ["/bin/sh", "-c", "kill -9 $$"])).exitCode).toBe(137);
      expect((await exec(box, ["/bin/pwd"])).stdout).toBe("/sandbox\n");
      expect((await exec(box, ["/bin/pwd"], { workdir: "/tmp" })).stdout).toBe("/tmp\n");
    });

    test("stdin: all of it, 4 MiB too, and none closes at once", async () => {
      expect((await exec(box, ["/bin/cat"], { stdin: bytes("hello") })).stdout).toBe("hello");
      expect((await exec(box, ["/bin/cat"])).stdout).toBe("");
      const large = await exec(box, ["/usr/bin/wc", "-c"], { stdin: new Uint8Array(4 * 1024 * 1024) });
      expect(large.stdout.trim()).toBe(String(4 * 1024 * 1024));
    });

    test("exec_python's variable: 96,000 bytes pass, more than the kernel takes is INVALID_ARGUMENT", async () => {
      const environment = { OPENSHELL_PYFUNC_B64: "x".repeat(96_000) };
      const count = "printenv OPENSHELL_PYFUNC_B64 | wc -c";
      expect((await exec(box, ["/bin/sh", "-c", count], { environment })).stdout.trim()).toBe("96001");
      const error = await failureOf(exec(box, ["/bin/true"], { environment: { OPENSHELL_PYFUNC_B64: "x".repeat(131_072) } }));
      expect(error.code).toBe(status.INVALID_ARGUMENT);
    });

    test("newlines in arguments, as scripts have them", async () => {
      expect((await exec(box, ["/bin/sh", "-c", "echo a\necho b"])).stdout).toBe("a\nb\n");
    });

    test("a time-out is exit 124, and the command is dead", async () => {
      const timedOut = await exec(box, ["/bin/sh", "-c", "echo $$; exec /bin/sleep 3600"], { executionTimeout: { seconds: 1n } });
      expect(timedOut.exitCode).toBe(124);
      expect((await exec(box, ["/bin/sh", "-c", `kill -0 ${timedOut.stdout.trim()}`])).exitCode).not.toBe(0);
    });

    test("leaving the stream kills the command", async () => {
      let pid = "";
      for await (const { payload } of client.stream(
        method.execSandbox,
        execRequest({ sandbox: box, command: ["/bin/sh", "-c", "echo $$; exec /bin/sleep 3600"] }),
      )) {
        if (payload.case !== "stdout") continue;
        pid = new TextDecoder().decode(payload.value.data).trim();
        break;
      }
      while ((await exec(box, ["/bin/sh", "-c", `kill -0 ${pid}`])).exitCode === 0);
    });

    test("events: output, then exactly one exit, then the end with OK; bytes as they are", async () => {
      const cases: string[] = [];
      const binary: Buffer[] = [];
      const command = ["/bin/sh", "-c", "printf '\\377\\000\\303'; exit 3"];
      for await (const { payload } of client.stream(method.execSandbox, execRequest({ sandbox: box, command }))) {
        cases.push(payload.case ?? "");
        if (payload.case === "stdout") binary.push(Buffer.from(payload.value.data));
      }
      expect([cases.filter((each) => each === "exit"), cases.at(-1)]).toEqual([["exit"], "exit"]);
      expect(Buffer.concat(binary)).toEqual(Buffer.of(0xff, 0, 0xc3));
    });

    test("a deadline of the client ends the command too", async () => {
      const call = (async () => {
        for await (const _ of client.stream(
          method.execSandbox,
          execRequest({ sandbox: box, command: ["/bin/sh", "-c", "exec /bin/sleep 3600"] }),
          2000,
        ));
      })();
      expect((await failureOf(call)).code).toBe(status.DEADLINE_EXCEEDED);
      await eventually("the command to end", 20_000, async () => {
        const { stdout } = await exec(box, ["/bin/sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]);
        return stdout.includes("sleep 3600") ? undefined : true;
      });
    });

    test("a sandbox that is not there, or stopped, is a status that clients know", async () => {
      expect((await failureOf(exec("sdk-nowhere", ["/bin/true"]))).code).toBe(status.NOT_FOUND);
      await create("sdk-stopped");
      await waitReady("sdk-stopped");
      await client.unary(method.stopSandbox, { workspaceScope, name: "sdk-stopped" });
      expect((await failureOf(exec("sdk-stopped", ["/bin/true"]))).code).toBe(status.FAILED_PRECONDITION);
    });

    test("what packages on top of it do: scripts on stdin, files in pieces of 512 KiB through python3", async () => {
      const script = await exec(box, ["/bin/bash", "-s"], { stdin: bytes("cd /tmp\nfor i in 1 2; do echo line $i; done\nexit 5\n") });
      expect(script).toEqual({ exitCode: 5, stdout: "line 1\nline 2\n", stderr: "" });
      const python = "/usr/bin/python3";
      if ((await exec(box, ["/usr/bin/test", "-x", python])).exitCode !== 0) return;
      const put =
        "import sys,base64,os;p=sys.argv[1];os.makedirs(os.path.dirname(p),exist_ok=True);open(p,sys.argv[2]).write(base64.b64decode(sys.stdin.read()))";
      const take =
        "import sys,base64;f=open(sys.argv[1],'rb');f.seek(int(sys.argv[2]));print(base64.b64encode(f.read(int(sys.argv[3]))).decode(),end='')";
      const whole = Buffer.from(Array.from({ length: 1_200_000 }, (_, at) => at % 251));
      const piece = 512 * 1024;
      for (let at = 0; at < whole.length; at += piece) {
        const stdin = bytes(whole.subarray(at, at + piece).toString("base64"));
        expect(await exec(box, [python, "-c", put, "/sandbox/up/file", at === 0 ? "wb" : "ab"], { stdin })).toMatchObject({
          exitCode: 0,
          stderr: "",
        });
      }
      const back: Buffer[] = [];
      for (let at = 0; at < whole.length; at += piece) {
        const { stdout } = await exec(box, [python, "-c", take, "/sandbox/up/file", String(at), String(piece)]);
        back.push(Buffer.from(stdout, "base64"));
      }
      expect(Buffer.concat(back).equals(whole)).toBe(true);
      const absent = await exec(box, [python, "-c", take, "/sandbox/none", "0", "1"]);
      expect([absent.exitCode, absent.stderr.toLowerCase()]).toEqual([1, expect.stringContaining("no such file")]);
    });

    test("10 MiB of output, and 20 commands at once on one connection", async () => {
      const large = await exec(box, ["/usr/bin/head", "-c", String(10 * 1024 * 1024), "/dev/zero"]);
      expect(large.stdout).toHaveLength(10 * 1024 * 1024);
      const many = await Promise.all(Array.from({ length: 20 }, (_, index) => exec(box, ["/bin/sh", "-c", `echo ${index}`])));
      expect(many.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
    });
  });

  describe("the rest of its calls", () => {
    test("workspaces: default is there", async () => {
      const { workspace } = await client.unary(method.getWorkspace, { name: "default" });
      expect(workspace?.metadata?.name).toBe("default");
      expect([0, 1, 2]).toContain(workspace?.status?.phase as number);
      const { workspaces, nextPageToken } = await client.unary(method.listWorkspaces, { pageSize: 100 });
      expect(workspaces.map(({ metadata }) => metadata?.name)).toEqual(["default"]);
      expect(nextPageToken).toBe("");
    });

    test("what waits says so in a sentence", async () => {
      for (const call of [
        client.unary(method.createWorkspace, { name: "other" }),
        client.unary(method.listSandboxTemplates, { workspaceScope }),
        client.unary(method.createSandboxTemplate, { workspaceScope }),
      ]) {
        const error = await failureOf(call);
        expect([error.code, error.details]).toEqual([status.UNIMPLEMENTED, expect.stringContaining("is not available")]);
      }
      const credentials = await failureOf(
        client.unary(method.getProviderCredentials, { workspaceScope, name: "none", credentialKeys: ["KEY"] }),
      );
      expect([status.UNIMPLEMENTED, status.NOT_FOUND]).toContain(credentials.code);
    });

    test("a request without a workspace is INVALID_ARGUMENT, with details whose code and message are the status's own", async () => {
      expect((await failureOf(client.unary(method.getSandbox, { name: "x" }))).details).toBe("workspace_scope is required");
      const error = await failureOf(client.unary(method.createSandbox, { workspaceScope, name: "-bad-", spec: {} }));
      const [binary] = error.metadata.get("grpc-status-details-bin");
      const rich = richStatus(binary as Buffer);
      expect([rich.code, rich.message]).toEqual([error.code, error.details]);
      const known = rich.details.map(({ typeUrl, value }) =>
        typeUrl.endsWith("BadRequest") ? fromBinary(BadRequestSchema, value) : fromBinary(ErrorInfoSchema, value),
      );
      expect(known.length).toBeGreaterThan(0);
    });
  });
});

/** google.rpc.Status: 1 code, 2 message, 3 details. */
function richStatus(bytes: Uint8Array): { code: number; message: string; details: Any[] } {
  const reader = new BinaryReader(bytes);
  const found = { code: 0, message: "", details: [] as Any[] };
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1) found.code = reader.int32();
    else if (field === 2) found.message = reader.string();
    else if (field === 3) found.details.push(fromBinary(AnySchema, reader.bytes()));
    else reader.skip(wire, field);
  }
  return found;
}
