/** How a sandbox comes to its policy and how that changes, through a gateway of the compiled binary with real supervisors. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { restrictiveDefault } from "../../src/policy/defaults.ts";
import { PolicySource, type SandboxPolicySchema } from "../../src/rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { PolicyStatus, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { BINARY, type Connected, GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const CURL = "/usr/bin/curl";
const UNSHARE = Bun.which("unshare");
const missing =
  missingForGateway() ??
  (existsSync(CURL) ? undefined : `${CURL} is not installed`) ??
  (UNSHARE === null ? "unshare is not installed" : undefined);
if (missing !== undefined) console.log(`skipped: policies through the gateway: ${missing}`);

type PolicyInit = MessageInitShape<typeof SandboxPolicySchema>;
const { filesystem: section } = restrictiveDefault();
const defaults = { includeWorkdir: true, readOnly: [...(section?.readOnly ?? [])], readWrite: [...(section?.readWrite ?? [])] };
const base = { version: 1, filesystem: defaults, landlock: { compatibility: "best_effort" } } satisfies PolicyInit;
/** A host that no resolver knows: allowed, it is looked for and not found (502); denied, it is not looked for (403). */
const allowing = (host: string, key = "one") => ({
  ...base,
  networkPolicies: { [key]: { name: key, endpoints: [{ host, port: 443, ports: [443] }], binaries: [{ path: CURL }] } },
});
const YAML =
  "version: 1\nfilesystem_policy: { include_workdir: true, read_only: [/usr, /etc, /lib, /proc], read_write: [/tmp] }\nnetwork_policies: {}\n";

describe.skipIf(missing !== undefined)("policies through the gateway", () => {
  let host: GatewayHost;
  let etc: string;
  let gateway: Bun.Subprocess<"ignore", "pipe", "inherit">;
  let connected: Connected;

  beforeAll(async () => {
    host = await GatewayHost.open();
    etc = mkdtempSync(join(tmpdir(), "openshell-etc-"));
    // An /etc of its own, whose policy files the test puts in place.
    const script = `chmod 755 "$0"; for name in passwd group hosts resolv.conf ssl alternatives ld.so.cache ld.so.conf ld.so.conf.d; do
        [ -e /etc/$name ] && cp -a /etc/$name "$0"/; done
      mount --bind "$0" /etc && exec "$@"`;
    gateway = Bun.spawn({
      cmd: [UNSHARE ?? "", "-m", "/bin/sh", "-c", script, etc, BINARY, "gateway", "serve", "--port", String(host.port)],
      env: host.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    for await (const text of gateway.stdout.pipeThrough(new TextDecoderStream())) if (text.includes("gateway ready")) break;
    connected = host.connect();
  }, 60_000);
  afterAll(async () => {
    if (connected !== undefined) {
      const { sandboxes } = await connected.client.listSandboxes({ workspaceScope, pageSize: 1000 });
      for (const { metadata } of sandboxes) await connected.client.deleteSandbox({ workspaceScope, name: metadata?.name ?? "" });
      connected[Symbol.dispose]();
    }
    gateway?.kill("SIGTERM");
    await gateway?.exited;
    await host?.[Symbol.asyncDispose]();
    if (etc !== undefined) rmSync(etc, { recursive: true, force: true });
  }, 60_000);

  async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = Bun.spawn({ cmd: [BINARY, ...argv], cwd: "/", env: host.env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    return { code, out, err };
  }
  /** What the machine offers as a policy from now on. */
  function onDisk(files: Readonly<Record<string, string>>): void {
    for (const path of ["openshell/policy.yaml", "navigator/policy.yaml"]) rmSync(join(etc, path), { force: true });
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(etc, path)), { recursive: true, mode: 0o755 });
      writeFileSync(join(etc, path), text, { mode: 0o644 });
    }
  }
  async function create(name: string, policy?: PolicyInit): Promise<void> {
    await connected.client.createSandbox({ workspaceScope, name, spec: policy === undefined ? {} : { policy } });
    await eventually(
      `${name} is ready`,
      40_000,
      async () => {
        const phase = (await connected.client.getSandbox({ workspaceScope, name })).sandbox?.status?.phase;
        return phase === SandboxPhase.READY || undefined;
      },
      async () => `${(await cli("sandbox", "get", name)).out}${(await cli("logs", name)).out}`,
    );
  }
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => "ok" as const,
      (error) => ConnectError.from(error).code,
    );
  const config = (name: string) => connected.client.getSandboxConfig({ workspaceScope, name });
  const set = (sandbox: string, policy: PolicyInit) => connected.client.updateConfig({ workspaceScope, sandbox, policy });
  /** Lines reach the gateway a moment after they are written. */
  const logged = (name: string, text: string) =>
    eventually(`${text} in the log of ${name}`, 20_000, async () => (await cli("logs", name)).out.includes(text) || undefined);
  /** The proxy's answer to a CONNECT of curl inside. */
  async function answer(name: string, to: string): Promise<string> {
    const { err } = await cli("sandbox", "exec", "-n", name, "--", "curl", "-sS", "--max-time", "20", `https://${to}/`);
    return /\b(403|502)\b/.exec(err)?.[0] ?? err;
  }

  test("case-01 to case-06: what a create refuses, naming the field", async () => {
    const filesystem = (readOnly: string[], readWrite: string[] = []): PolicyInit => ({
      ...base,
      filesystem: { includeWorkdir: true, readOnly, readWrite },
    });
    const paths = (count: number) => Array.from({ length: count }, (_, i) => `/usr/share/p${i}`);
    const cases: [string, PolicyInit, RegExp][] = [
      ["case-01", { ...base, process: { runAsUser: "root" } }, /run_as_user/],
      ["case-02", filesystem(["/usr/../etc/shadow"]), /traversal/],
      ["case-03", filesystem(["/usr"], ["/"]), /overly broad/],
      ["case-04", filesystem(paths(257)), /257 paths, at most 256/],
      ["case-05", filesystem([`/${"x".repeat(4096)}`]), /4097 bytes, at most 4096/],
      ["case-06", filesystem(["usr/lib"]), /not an absolute path/],
    ];
    for (const [name, policy, said] of cases) {
      const error = await connected.client.createSandbox({ workspaceScope, name, spec: { policy } }).then(
        () => undefined,
        (reason) => ConnectError.from(reason),
      );
      expect([name, error?.code, said.test(error?.rawMessage ?? "")]).toEqual([name, Code.InvalidArgument, true]);
      expect((error?.rawMessage ?? "").length).toBeLessThan(1000);
      expect(await codeOf(connected.client.getSandbox({ workspaceScope, name }))).toBe(Code.NotFound);
    }
  });

  test("case-97: an account that a sandbox does not have is refused with what there is; `sandbox` always exists", async () => {
    for (const account of ["alice", "nobody", "1234"]) {
      const policy = { ...base, process: { runAsUser: account, runAsGroup: account } };
      const error = await connected.client.createSandbox({ workspaceScope, name: "case-97", spec: { policy } }).then(
        () => undefined,
        (reason) => ConnectError.from(reason),
      );
      expect([account, error?.code, error?.rawMessage]).toEqual([
        account,
        Code.InvalidArgument,
        expect.stringContaining("process.run_as_user"),
      ]);
    }
    await create("case-97", { ...base, process: { runAsUser: "sandbox", runAsGroup: "sandbox" } });
    expect((await cli("sandbox", "exec", "-n", "case-97", "--", "/bin/sh", "-c", "id -un; id -gn")).out).toBe("sandbox\nsandbox\n");
  }, 60_000);

  test("case-07 case-08 case-18: what may change on a sandbox that lives, and what a change counts", async () => {
    await create("live", base);
    const fewer = { ...base, filesystem: { ...defaults, readOnly: defaults.readOnly.slice(1) } };
    const other = { ...base, filesystem: { ...defaults, includeWorkdir: false } };
    for (const policy of [
      fewer,
      other,
      { ...base, landlock: { compatibility: "hard_requirement" } },
      { ...base, process: { runAsUser: "1234", runAsGroup: "1234" } },
    ])
      expect(await codeOf(set("live", policy))).toBe(Code.InvalidArgument);
    expect((await set("live", base)).version).toBe(1);
    expect((await set("live", { ...base, filesystem: { ...defaults, readOnly: [...defaults.readOnly, "/usr/share"] } })).version).toBe(2);
    const { version } = await config("live");
    expect(version).toBe(2);
    expect((await connected.client.listSandboxPolicies({ workspaceScope, sandbox: "live" })).revisions).toHaveLength(2);
  }, 60_000);

  test("case-14 to case-17: without a policy the disk's is taken, stored and read back; an unsafe one is not", async () => {
    onDisk({ "openshell/policy.yaml": YAML, "navigator/policy.yaml": YAML });
    await create("disk");
    expect(await config("disk")).toMatchObject({ version: 1, policySource: PolicySource.SANDBOX });
    expect((await config("disk")).policy?.filesystem?.readOnly).toEqual(["/usr", "/etc", "/lib", "/proc"]);
    await logged("disk", "policy from /etc/openshell/policy.yaml");
    onDisk({ "navigator/policy.yaml": YAML });
    await create("legacy");
    await logged("legacy", "legacy path");
    onDisk({});
    await create("none");
    expect((await config("none")).policy?.networkPolicies).toEqual({});
    expect(await answer("none", "nobody.invalid")).toBe("403");
    onDisk({ "openshell/policy.yaml": `${YAML}process: { run_as_user: root }\n` });
    await create("unsafe");
    await logged("unsafe", "unsafe-disk-policy");
    expect((await config("unsafe")).policy?.filesystem?.readWrite).toEqual(defaults.readWrite);
    onDisk({});
  }, 120_000);

  test("case-20: a policy that only the engine refuses: its revision has failed with the reason, the one before stays in force", async () => {
    await create("kept", allowing("one.invalid"));
    // Each field is accepted; what all of them come to is more than the engine can hold.
    const ports = Array.from({ length: 2000 }, (_, i) => i + 1);
    const binaries = Array.from({ length: 200 }, (_, i) => ({ path: `/usr/bin/program-${i}` }));
    const endpoints = Array.from({ length: 10 }, (_, i) => ({ host: `h${i}.invalid`, ports }));
    const { filesystem, landlock, version } = base;
    const rest = { include_workdir: true, read_only: filesystem.readOnly, read_write: filesystem.readWrite };
    const policy = { version, filesystem_policy: rest, landlock, network_policies: { huge: { endpoints, binaries } } };
    const file = join(host.directory, "huge.yaml");
    writeFileSync(file, JSON.stringify(policy));
    const refused = await cli("policy", "set", "kept", "--policy", file, "--wait", "--timeout", "90");
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/the sandbox refused policy version 2: the policy is too large/),
    ]);

    const { revisions } = await connected.client.listSandboxPolicies({ workspaceScope, sandbox: "kept" });
    expect(revisions.map(({ version, status, loadError }) => [version, status, loadError !== ""])).toEqual([
      [2, PolicyStatus.FAILED, true],
      [1, PolicyStatus.LOADED, false],
    ]);
    expect((await cli("policy", "list", "kept")).out).toMatch(/2 +failed .*too large/);
    const { sandbox } = await connected.client.getSandbox({ workspaceScope, name: "kept" });
    expect([sandbox?.status?.phase, sandbox?.status?.currentPolicyVersion]).toEqual([SandboxPhase.READY, 1]);
    expect((await cli("sandbox", "get", "kept")).out).toMatch(/Policy version: 1\nRefused policy: the policy is too large/);
    expect([await answer("kept", "one.invalid"), await answer("kept", "h1.invalid")]).toEqual(["502", "403"]);
    await logged("kept", "policy version 2 was not loaded: the policy is too large");

    const next = await set("kept", allowing("two.invalid"));
    expect(next.version).toBe(3);
    await eventually("the next one", 30_000, async () => (await answer("kept", "two.invalid")) === "502" || undefined);
    expect((await cli("policy", "list", "kept", "-o", "json")).out).toContain("superseded");
    expect((await cli("sandbox", "get", "kept")).out).not.toContain("Refused policy");
  }, 180_000);

  test("case-19 case-21 case-22: rules come into force while it runs; order does not count; a policy for all comes before", async () => {
    await create("later", base);
    expect(await answer("later", "one.invalid")).toBe("403");
    const one = await set("later", allowing("one.invalid"));
    await eventually("the new rule", 30_000, async () => (await answer("later", "one.invalid")) === "502" || undefined);

    const two = { ...allowing("one.invalid").networkPolicies, ...allowing("two.invalid", "two").networkPolicies };
    const turned = Object.fromEntries(Object.entries(two).reverse());
    const hashes = [await set("later", { ...base, networkPolicies: two }), await set("later", { ...base, networkPolicies: turned })];
    expect(hashes[0]?.policyHash).not.toBe(one.policyHash);
    expect([hashes[1]?.policyHash, hashes[1]?.version]).toEqual([hashes[0]?.policyHash, hashes[0]?.version]);

    await connected.client.updateConfig({ global: true, policy: allowing("all.invalid") });
    expect((await config("later")).policySource).toBe(PolicySource.GLOBAL);
    await eventually("the policy for all", 30_000, async () => (await answer("later", "one.invalid")) === "403" || undefined);
    expect(await codeOf(set("later", base))).toBe(Code.FailedPrecondition);
    await connected.client.updateConfig({ global: true, settingKey: "policy", deleteSetting: true });
    expect(await config("later")).toMatchObject({ policySource: PolicySource.SANDBOX, version: hashes[0]?.version });
    await eventually("its own policy again", 30_000, async () => (await answer("later", "one.invalid")) === "502" || undefined);
  }, 120_000);
});
