import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, resolve } from "../../command/define.ts";
import { metaOf } from "../../command/resolve.ts";
import { SandboxPolicySchema, SettingScope } from "../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { PolicyStatus, SandboxLogLineSchema, type UpdateConfigRequest } from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import { VERSION } from "../../version.ts";
import { fakeGateway, runCli } from "./gateway.fixture.ts";
import { createRoot } from "./root.ts";

const RULE = `version: 1
network_policies:
  web:
    endpoints:
      - host: api.example.test
        port: 443
    binaries:
      - path: /usr/bin/curl
`;

function policy(host = "api.example.test"): MessageInitShape<typeof SandboxPolicySchema> {
  return create(SandboxPolicySchema, {
    version: 1,
    networkPolicies: { web: { name: "web", endpoints: [{ host, ports: [443] }], binaries: [{ path: "/usr/bin/curl" }] } },
  });
}

describe("the tree", () => {
  test("version, and every visible command has a description and an example", async () => {
    expect(await runCli(["--version"], "/nonexistent")).toEqual({ code: 0, out: `openshell ${VERSION}\n`, err: "" });
    const never = async (): Promise<Command> => ({ meta: { description: "other mode", examples: ["x"] }, run: () => 0 });
    const missing: string[] = [];
    const walk = async (command: Command, path: string) => {
      const meta = command.meta === undefined ? {} : await resolve(command.meta);
      if (!meta.description || !meta.examples?.length) missing.push(path);
      for (const [name, sub] of Object.entries(command.subCommands === undefined ? {} : await resolve(command.subCommands))) {
        if (!(await metaOf(sub)).description) missing.push(`${path} ${name} (in its parent's list)`);
        await walk(await resolve<Command>(sub), `${path} ${name}`);
      }
    };
    await walk(createRoot({ gatewayServe: never, sandboxRun: never, doctor: never }), "openshell");
    expect(missing).toEqual([]);
  });
  test("aliases and wrong names", async () => {
    for (const alias of ["sb", "pol", "lg", "gw", "rl"]) expect((await runCli([alias, "--help"], "/nonexistent")).code).toBe(0);
    const { code, err } = await runCli(["sandbx"], "/nonexistent");
    expect([code, err]).toEqual([
      2,
      "Error: unknown command 'sandbx'\nNext: did you mean 'openshell sandbox'? (all commands: openshell --help)\n",
    ]);
  });
});

describe("policy", () => {
  test("get: yaml is what set takes; set --wait waits for the acknowledgement", async () => {
    const updates: UpdateConfigRequest[] = [];
    let looks = 0;
    await using gateway = await fakeGateway({
      getSandboxConfig: () => ({ policy: policy(), version: 3, policyHash: "abc" }),
      updateConfig: (request) => {
        updates.push(request);
        return { version: 4 };
      },
      getSandboxPolicyStatus: () => ({ revision: { version: 4, status: ++looks > 2 ? PolicyStatus.LOADED : PolicyStatus.PENDING } }),
    });
    const { out } = await gateway.run("policy get work -o yaml");
    expect(out).toBe(RULE);
    const file = join(gateway.home, "p.yaml");
    writeFileSync(file, out);
    expect(await gateway.run(["policy", "set", "work", "--policy", file, "--wait"])).toEqual({
      code: 0,
      err: "",
      out: "✓ Policy version 4 is set\n✓ In force in the sandbox\n",
    });
    expect([updates[0]?.sandbox, updates[0]?.policy?.networkPolicies["web"]?.endpoints[0]?.host, looks]).toEqual([
      "work",
      "api.example.test",
      3,
    ]);
    expect((await gateway.run("policy get work")).out).toBe(`Version: 3\nHash:    abc\nSource:  sandbox\n\n${RULE}`);
    expect(JSON.parse((await gateway.run("policy get work -o json")).out)).toMatchObject({
      sandbox: "work",
      version: 3,
      policy_hash: "abc",
    });
  });

  test("a revision by number, and the list", async () => {
    const revision = {
      version: 2,
      status: PolicyStatus.FAILED,
      policyHash: "0123456789abcdef",
      loadError: "no\x1b",
      createdTime: timestampFromMs(0),
      policy: policy(),
    };
    await using gateway = await fakeGateway({
      getSandboxPolicyStatus: ({ version }) => ({ revision: { ...revision, version }, activeVersion: 3 }),
      listSandboxPolicies: () => ({ revisions: [revision] }),
    });
    expect((await gateway.run("policy get work --rev 2")).out).toStartWith(
      "Version: 2 (failed; active: 3)\nHash:    0123456789abcdef\nError:   no\\x1b\n\nversion: 1\n",
    );
    expect((await gateway.run("pol list work")).out).toBe(
      "VERSION   STATUS   HASH           CREATED               LOADED   ERROR\n2         failed   0123456789ab   1970-01-01 00:00:00   -        no\\x1b\n",
    );
    expect((await gateway.run("policy get work --rev=-1")).err).toContain("from 0 to 4294967295");
  });

  test("validate and explain need no gateway", async () => {
    await using gateway = await fakeGateway({});
    const file = join(gateway.home, "p.yaml");
    writeFileSync(file, RULE);
    const run = (...argv: string[]) => runCli(argv, gateway.home);
    expect((await run("policy", "validate", file)).out).toMatch(/is valid: 1 network rule, hash [0-9a-f]{64}\n$/);
    const ask = ["policy", "explain", file, "--host", "API.example.test.", "--port", "443", "--binary"];
    const yes = await run(...ask, "/usr/bin/curl");
    expect([yes.code, yes.out.includes("by rule 'web'")]).toEqual([0, true]);
    const no = await run(...ask, "/usr/bin/wget", "-o", "json");
    expect([no.code, JSON.parse(no.out)]).toMatchObject([1, { allowed: false, code: "binary_not_allowed", missing: "binary" }]);
    const bad = await run("policy", "explain", file, "--host", "x", "--port", "0", "--binary", "/x");
    expect([bad.code, bad.err.includes("from 1 to 65535")]).toEqual([2, true]);
  });
});

describe("settings", () => {
  test("values travel with the type of their key", async () => {
    const updates: UpdateConfigRequest[] = [];
    await using gateway = await fakeGateway({
      updateConfig: (request) => {
        updates.push(request);
        return { deleted: request.deleteSetting };
      },
      getSandboxConfig: () => ({
        settings: { draft_ttl: { value: { value: { case: "stringValue", value: "2h" } }, scope: SettingScope.SANDBOX }, other: {} },
      }),
    });
    await gateway.run("settings set work --key ocsf_json_enabled --value on");
    await gateway.run("settings set work --key hold_denied_seconds --value 30");
    await gateway.run("settings set --global --key draft_ttl --value 2h");
    await gateway.run("settings delete work --key draft_ttl");
    await gateway.run("policy-advisor enable work");
    await gateway.run("cluster policy-advisor disable --global");
    expect(updates.map((u) => [u.sandbox, u.global, u.settingKey, u.settingValue?.value, u.deleteSetting])).toEqual([
      ["work", false, "ocsf_json_enabled", { case: "boolValue", value: true }, false],
      ["work", false, "hold_denied_seconds", { case: "intValue", value: 30n }, false],
      ["", true, "draft_ttl", { case: "stringValue", value: "2h" }, false],
      ["work", false, "draft_ttl", undefined, true],
      ["work", false, "policy_advisor", { case: "stringValue", value: "rules" }, false],
      ["", true, "policy_advisor", { case: "stringValue", value: "off" }, false],
    ]);
    expect((await gateway.run("settings get work")).out).toBe(
      "KEY         VALUE   SCOPE\ndraft_ttl   2h      sandbox\nother       -       default\n",
    );
    expect((await gateway.run("settings set work --key ocsf_json_enabled --value maybe")).code).toBe(2);
    expect((await gateway.run("settings set work --key policy_advisor --value rule")).err).toContain("did you mean 'rules'?");
    expect(updates.length).toBe(6);
  });
});

describe("logs", () => {
  const line = create(SandboxLogLineSchema, {
    eventTime: timestampFromMs(1_700_000_000_123),
    level: "WARN",
    target: "proxy",
    source: "sandbox",
    message: "denied\n[forged] \x1b[31m",
    fields: { b: "2", a: "1" },
  });
  test("one event is one line, without control bytes", async () => {
    await using gateway = await fakeGateway({
      getSandboxLogs: ({ sources, minLevel, lines }) =>
        sources.join() === "sandbox" && minLevel === "WARN" && lines === 5 ? { logs: [line] } : {},
      watchSandbox: async function* ({ followLogs }) {
        if (followLogs) yield { payload: { case: "log", value: line } };
      },
    });
    const text = "[1700000000.123] [sandbox] [WARN ] [proxy] denied\\x0a[forged] \\x1b[31m a=1 b=2\n";
    expect((await gateway.run("logs work -n 5 --source sandbox --level WARN --since 5m")).out).toBe(text);
    expect((await gateway.run("lg work --tail")).out).toBe(text);
    expect(JSON.parse((await gateway.run("logs work --tail -o json")).out)).toMatchObject({ level: "WARN", fields: { a: "1" } });
    expect((await gateway.run("logs work --since soon")).code).toBe(2);
  });
});

describe("gateways and completions", () => {
  test("add, select, list, info, remove", async () => {
    await using gateway = await fakeGateway({ listSandboxes: () => ({ sandboxes: [{ metadata: { name: "work" } }] }) });
    const run = (line: string) => runCli(line.split(" "), gateway.home);
    expect((await run("gateway list")).out).toContain("No gateways found.");
    expect((await run("gateway add https://gw.example.test:1")).code).toBe(2);
    expect((await run(`gateway add ${gateway.endpoint} --name one`)).code).toBe(0);
    expect((await run(`gateway add ${gateway.endpoint} --name two`)).code).toBe(0);
    expect((await run("gateway list -o name")).out).toBe("one\ntwo\n");
    expect(JSON.parse((await run("gateway info -o json")).out)).toMatchObject({
      name: "one",
      gateway_endpoint: gateway.endpoint,
      auth_mode: "plaintext",
    });
    expect((await run("gateway select tow")).code).toBe(1);
    expect((await run("gateway select two")).code).toBe(0);
    expect((await run("sandbox list -o name")).out).toBe("work\n");
    const complete = async (...words: string[]) => (await runCli(["complete", "--", ...words], gateway.home)).out.trim().split("\n");
    expect(await complete("sandbox", "dra")).toEqual(["draft"]);
    expect(await complete("sandbox", "draft", "")).toContain("work");
    expect(await complete("sandbox", "draft", "approve", "w")).toEqual(["work"]);
    expect(await complete("sandbox", "draft", "work", "--status", "p")).toEqual(["pending"]);
    expect(await complete("sandbox", "draft", "--st")).toEqual(["--status"]);
    expect(await complete("gateway", "select", "t")).toEqual(["two"]);
    expect(await complete("policy", "validate", "")).toEqual([":files"]);
    expect(await complete("sandbox", "create", "--", "")).toEqual([":files"]);
    expect((await run("gateway remove two")).code).toBe(0);
    expect((await run("gateway list -o name")).out).toBe("one\n");
    for (const shell of ["bash", "zsh", "fish"]) expect((await run(`completions ${shell}`)).out).toContain("openshell complete --");
    expect((await run("completions tcsh")).code).toBe(2);
  });
});
