import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { toConnectError } from "../../../rpc/errors.ts";
import {
  type CreateSandboxRequest,
  DeletionOutcome,
  type ExecSandboxRequest,
  SandboxPhase,
  SandboxSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { fakeGateway } from "../gateway.fixture.ts";

function sandbox(name: string, phase: SandboxPhase, status: MessageInitShape<typeof SandboxSchema>["status"] = {}) {
  const metadata = {
    id: `id-${name}`,
    name,
    workspace: "default",
    createdTime: timestampFromDate(new Date("2026-03-01T10:20:30Z")),
    resourceVersion: 3n,
  };
  return create(SandboxSchema, { metadata, spec: {}, status: { ...status, phase } as NonNullable<typeof status> });
}

describe("sandbox list", () => {
  test("every page is read, each request names the workspace, all formats", async () => {
    const seen: unknown[] = [];
    await using gateway = await fakeGateway({
      listSandboxes: (request) => {
        seen.push([request.workspaceScope?.selection, request.pageToken]);
        if (request.pageToken === "") return { sandboxes: [sandbox("work", SandboxPhase.READY)], nextPageToken: "2" };
        return { sandboxes: [sandbox("a-longer-name", SandboxPhase.ERROR)] };
      },
    });
    const table = await gateway.run("sandbox list --workspace team");
    expect(table).toEqual({
      code: 0,
      err: "",
      out: "NAME            CREATED               PHASE\nwork            2026-03-01 10:20:30   Ready\na-longer-name   2026-03-01 10:20:30   Error\n",
    });
    expect(seen).toEqual([
      [{ case: "workspace", value: "team" }, ""],
      [{ case: "workspace", value: "team" }, "2"],
    ]);
    expect((await gateway.run("sb ls -o name")).out).toBe("work\na-longer-name\n");
    expect(JSON.parse((await gateway.run("sandbox list -o json")).out)[0]).toMatchObject({
      id: "id-work",
      name: "work",
      workspace: "default",
      phase: "Ready",
      created_at: "2026-03-01T10:20:30.000Z",
      resource_version: 3,
    });
  });
  test("nothing there", async () => {
    await using gateway = await fakeGateway({ listSandboxes: () => ({}) });
    expect((await gateway.run("sandbox list")).out).toBe("No sandboxes found.\n");
  });
});

describe("sandbox create", () => {
  test("waits until ready and remembers the name", async () => {
    let asked: CreateSandboxRequest | undefined;
    await using gateway = await fakeGateway({
      createSandbox: (request) => {
        asked = request;
        return { sandbox: sandbox("work", SandboxPhase.PROVISIONING) };
      },
      watchSandbox: async function* () {
        yield { payload: { case: "sandbox", value: sandbox("work", SandboxPhase.PROVISIONING) } };
        yield { payload: { case: "event", value: { reason: "Started", message: "supervisor \x1b[31m" } } };
        yield { payload: { case: "sandbox", value: sandbox("work", SandboxPhase.READY) } };
      },
      getSandbox: ({ name }) => ({ sandbox: sandbox(name, SandboxPhase.READY) }),
    });
    const argv = [
      "sandbox",
      "create",
      "--name",
      "work",
      "--label",
      "a=1",
      "--env",
      "K=x=y",
      "--trusted-cidr",
      "10.0.0.0/8",
      "--detach",
      "--",
      "sleep",
      "--x",
    ];
    const { code, out, err } = await gateway.run(argv);
    expect([code, out]).toEqual([0, "✓ Created sandbox 'work'\n  openshell sandbox exec -n work -- COMMAND\n"]);
    expect(err.replace(/\[[\d.]+s\]/g, "[t]")).toBe("[t] Requesting sandbox\n[t] Provisioning\n[t] Started: supervisor \\x1b[31m\n");
    expect(asked).toMatchObject({
      name: "work",
      labels: { a: "1" },
      spec: { command: ["sleep", "--x"], environment: { K: "x=y" }, trustedCidrs: ["10.0.0.0/8"], keep: true },
    });
    expect(asked?.spec?.policy).toBeUndefined();
    const get = await gateway.run("sandbox get -o name");
    expect(get).toEqual({ code: 0, out: "work\n", err: "→ Using sandbox 'work' (last used)\n" });
  });

  test("a failed start tells the reason", async () => {
    const failed = sandbox("work", SandboxPhase.ERROR, {
      conditions: [{ type: "Ready", status: "False", reason: "ViewFailed", message: "no /usr" }],
    });
    await using gateway = await fakeGateway({
      createSandbox: () => ({ sandbox: failed }),
      watchSandbox: async function* () {
        yield { payload: { case: "sandbox", value: failed } };
      },
    });
    const { code, err } = await gateway.run("sandbox create --name work");
    expect(code).toBe(1);
    expect(err).toContain("Error: sandbox 'work' failed (ViewFailed: no /usr)\nNext: openshell logs work\n");
  });

  test("--no-keep shows and feeds the command and gives its exit code", async () => {
    const deleted: string[] = [];
    let joined = false;
    await using gateway = await fakeGateway({
      createSandbox: () => ({ sandbox: sandbox("work", SandboxPhase.PROVISIONING) }),
      watchSandbox: async function* () {
        yield { payload: { case: "sandbox", value: sandbox("work", SandboxPhase.READY) } };
      },
      execSandboxInteractive: async function* (inputs) {
        let fed = "";
        for await (const { payload } of inputs) {
          if (payload.case === "start") joined = payload.value.mainProcess && payload.value.command.length === 0;
          else if (payload.case === "stdin" && payload.value.length === 0) break;
          else if (payload.case === "stdin") fed += Buffer.from(payload.value).toString();
        }
        yield { payload: { case: "stdout", value: { data: Buffer.from(fed.toUpperCase()) } } };
        yield { payload: { case: "exit", value: { exitCode: 7 } } };
      },
      deleteSandbox: ({ name }) => {
        deleted.push(name);
        return { outcome: DeletionOutcome.COMPLETED };
      },
    });
    expect(await gateway.run("sandbox create --name work --no-keep -- make", { stdin: ["all\n"] })).toMatchObject({
      code: 7,
      out: "ALL\n",
    });
    expect(joined).toBe(true);
    expect(deleted).toEqual(["work"]);
  });

  test("a policy goes along only when it is named; its mistakes are told with field and line", async () => {
    let asked: CreateSandboxRequest | undefined;
    await using gateway = await fakeGateway({
      createSandbox: (request) => {
        asked = request;
        return { sandbox: sandbox("work", SandboxPhase.READY) };
      },
    });
    const file = join(gateway.home, "p.yaml");
    const rule = (port: string) =>
      `version: 1\nnetwork_policies:\n  web:\n    endpoints:\n      - {host: a.example.test, port: ${port}}\n    binaries: [{path: /usr/bin/curl}]\n`;
    writeFileSync(file, rule("70000"));
    const bad = await gateway.run("sandbox create --no-wait", { env: { OPENSHELL_SANDBOX_POLICY: file } });
    expect([bad.code, asked]).toEqual([2, undefined]);
    expect(bad.err).toMatch(/endpoints\[0\]\.port \(line 5, column \d+\)/);
    writeFileSync(file, rule("443"));
    expect((await gateway.run("sandbox create --no-wait", { env: { OPENSHELL_SANDBOX_POLICY: file } })).code).toBe(0);
    expect(asked?.spec?.policy?.networkPolicies["web"]?.endpoints[0]?.host).toBe("a.example.test");
  });

  for (const [line, message] of [
    ["--name Upper", "lower-case"],
    ["--name approve", "word of the command line"],
    ["--no-keep", "needs a command"],
    ["--env NOVALUE", "KEY=VALUE"],
    ["--policy /nonexistent/p.yaml", "/nonexistent/p.yaml"],
  ] as const) {
    test(`refused before any call: ${line}`, async () => {
      await using gateway = await fakeGateway({});
      const { code, err } = await gateway.run(`sandbox create ${line}`);
      expect([code, err.includes(message)]).toEqual([2, true]);
    });
  }

  test("what the gateway refuses keeps its fields and its next step", async () => {
    await using gateway = await fakeGateway({
      createSandbox: () => {
        const violations = [{ field: "spec.command[3]", message: "argument is 40000 bytes, at most 32768 are accepted" }];
        throw toConnectError(
          new OpenShellError("invalid_argument", "the command is too long", { next: "use a script", violations }),
          () => {},
        );
      },
    });
    const { code, err } = await gateway.run("sandbox create --name work");
    expect(code).toBe(2);
    expect(err).toContain(
      "Error: the command is too long\n  spec.command[3]: argument is 40000 bytes, at most 32768 are accepted\nNext: use a script\n",
    );
  });
});

describe("sandbox exec", () => {
  test("streams input, keeps output and errors apart, gives the exit code", async () => {
    let start: ExecSandboxRequest | undefined;
    await using gateway = await fakeGateway({
      execSandboxInteractive: async function* (inputs) {
        let bytes = 0;
        for await (const { payload } of inputs) {
          if (payload.case === "start") start = payload.value;
          if (payload.case !== "stdin") continue;
          if (payload.value.length === 0) break;
          bytes += payload.value.length;
          yield { payload: { case: "stdout", value: { data: payload.value } } };
        }
        yield { payload: { case: "stderr", value: { data: Buffer.from(`${bytes} bytes`) } } };
        yield { payload: { case: "exit", value: { exitCode: 7 } } };
      },
    });
    const big = "x".repeat(300_000);
    const result = await gateway.run("sandbox exec -n work --workdir /sandbox --timeout 5 --env A=1 -- cat -n", {
      stdin: [big, "\x1b[0m end"],
    });
    expect(result.code).toBe(7);
    expect(result.out === `${big}\x1b[0m end`).toBe(true);
    expect(result.err).toBe("300008 bytes");
    expect(start).toMatchObject({ sandbox: "work", command: ["cat", "-n"], workdir: "/sandbox", environment: { A: "1" }, tty: false });
    expect(start?.executionTimeout?.seconds).toBe(5n);
  });

  test("with a terminal: its size goes along", async () => {
    let start: ExecSandboxRequest | undefined;
    await using gateway = await fakeGateway({
      execSandboxInteractive: async function* (inputs) {
        for await (const { payload } of inputs) {
          if (payload.case === "start") start = payload.value;
          break;
        }
        yield { payload: { case: "exit", value: { exitCode: 0 } } };
      },
    });
    expect((await gateway.run("sandbox exec -n work bash", { isTerminal: true })).code).toBe(0);
    expect(start).toMatchObject({ tty: true, cols: 80, rows: 24 });
  });

  test("a connection that ends without an exit code is an error", async () => {
    await using gateway = await fakeGateway({
      execSandboxInteractive: async function* () {
        yield { payload: { case: "stdout", value: { data: Buffer.from("half") } } };
      },
    });
    const { code, out, err } = await gateway.run("sandbox exec -n work ls");
    expect([code, out]).toEqual([1, "half"]);
    expect(err).toContain("whether it still runs is unknown");
  });
});

describe("sandbox delete", () => {
  test("an accepted deletion is awaited", async () => {
    let looks = 0;
    await using gateway = await fakeGateway({
      deleteSandbox: () => ({ outcome: DeletionOutcome.ACCEPTED }),
      getSandbox: () => {
        looks++;
        if (looks > 1) throw toConnectError(new OpenShellError("not_found", "sandbox not found"), () => {});
        return { sandbox: sandbox("work", SandboxPhase.DELETING) };
      },
    });
    expect(await gateway.run("sandbox delete work")).toEqual({ code: 0, out: "✓ Deleted sandbox 'work'\n", err: "" });
    expect(looks).toBe(2);
  });
  test("one failure does not stop the others, and is the exit code", async () => {
    await using gateway = await fakeGateway({
      deleteSandbox: ({ name }) => {
        if (name === "b") throw toConnectError(new OpenShellError("not_found", "sandbox 'b' not found"), () => {});
        return { outcome: DeletionOutcome.COMPLETED };
      },
    });
    const { code, out, err } = await gateway.run("sandbox delete a b c");
    expect([code, out, err]).toEqual([1, "✓ Deleted sandbox 'a'\n✓ Deleted sandbox 'c'\n", "Error: sandbox 'b' not found\n"]);
  });
  test("--all asks on a terminal", async () => {
    const deleted: string[] = [];
    await using gateway = await fakeGateway({
      listSandboxes: () => ({ sandboxes: [sandbox("a", SandboxPhase.READY)] }),
      deleteSandbox: ({ name }) => {
        deleted.push(name);
        return { outcome: DeletionOutcome.COMPLETED };
      },
    });
    expect((await gateway.run("sandbox delete --all", { isTerminal: true, stdin: ["n\n"] })).code).toBe(1);
    expect(deleted).toEqual([]);
    expect((await gateway.run("sandbox delete --all", { isTerminal: true, stdin: ["yes\n"] })).code).toBe(0);
    expect(deleted).toEqual(["a"]);
    expect((await gateway.run("sandbox delete")).code).toBe(2);
  });
});
