/** Providers with the compiled binary: the gateway keeps the secret, the supervisor puts it into requests, programs see a placeholder. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { Installation, missingBinary } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import type { Mirrored } from "../internet/servers/mirror.ts";

const CURL = "/usr/bin/curl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: providers: ${missing}`);

const FIRST = "tok_first_7Hk2mQ9xWvB4";
const SECOND = "tok_second_Zr8LpT3cNd6Y";
const GITHUB = "ghp_never_seen_inside_A1b2C3d4";

const POLICY = `version: 1
network_policies:
  mirror:
    endpoints:
      - { host: mirror.example.com, port: 443, protocol: rest, access: full, enforcement: enforce, credential_binding: { provider: forge } }
    binaries: [{ path: ${existsSync(CURL) ? realpathSync(CURL) : CURL} }]
`;
const ASK = 'curl -sS --max-time 20 -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $TOKEN" https://mirror.example.com/';

describe.skipIf(missing !== undefined)("providers", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net, "providers");
    await shell.startGateway();
    const { exitCode } = await shell.cli(["provider", "create", "--name", "forge", "--type", "generic", "--credential", "TOKEN"], {
      env: { TOKEN: FIRST },
    });
    expect(exitCode).toBe(0);
    await shell.must("sandbox", "create", "--name", "with", "--policy", shell.policy("with", POLICY), "--provider", "forge");
    await shell.must("sandbox", "create", "--name", "without", "--policy", shell.policy("without", POLICY));
  }, 60_000);
  afterAll(async () => {
    for (const name of ["with", "without"]) await shell?.cli(["sandbox", "delete", name]);
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  /** The `Authorization` of every request that the server got. */
  const authorizations = (): (string | undefined)[] => {
    const file = join(net.directory, "mirror.jsonl");
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    return lines.map((line) => (JSON.parse(line) as Mirrored).headers["authorization"] as string | undefined);
  };
  /** Status of one request of a program inside. */
  const ask = async (sandbox: string): Promise<string> => (await shell.exec(sandbox, "sh", "-c", ASK)).stdout;

  test("case-75 a program sees a placeholder, the server the secret; a change counts from the next request on", async () => {
    expect((await shell.exec("with", "printenv", "TOKEN")).stdout).toBe("openshell:resolve:env:TOKEN\n");
    expect(await ask("with")).toBe("200");
    expect(authorizations()).toEqual([`Bearer ${FIRST}`]);
    await shell.must("provider", "update", "forge", "--credential", `TOKEN=${SECOND}`);
    // The answer of the update is the gateway's; the push is under way to the supervisor.
    await eventually(
      "a request with the new secret",
      20_000,
      async () => ((await ask("with")) === "200" && authorizations().at(-1) === `Bearer ${SECOND}`) || undefined,
      async () => shell.diagnosis(),
    );
    expect(new Set(authorizations())).toEqual(new Set([`Bearer ${FIRST}`, `Bearer ${SECOND}`]));
  }, 60_000);

  test("another sandbox has neither the variable nor the secret", async () => {
    const before = authorizations().length;
    expect((await shell.exec("without", "printenv", "TOKEN")).stdout).toBe("");
    const { stdout } = await shell.exec("without", "sh", "-c", `TOKEN=openshell:resolve:env:TOKEN; ${ASK}`);
    expect(stdout).not.toBe("200");
    expect(authorizations()).toHaveLength(before);
  }, 60_000);

  test("a kind of service brings its endpoints for its programs alone, and marks them", async () => {
    const { exitCode } = await shell.cli(["provider", "create", "--name", "gh", "--type", "github", "--from-existing"], {
      env: { GH_TOKEN: GITHUB },
    });
    expect(exitCode).toBe(0);
    await shell.must("sandbox", "provider", "attach", "with", "gh");
    expect((await shell.exec("with", "printenv", "GH_TOKEN")).stdout).toBe("openshell:resolve:env:GH_TOKEN\n");
    const listed = await shell.json<{ name: string; credential_keys: string[] }[]>("sandbox", "provider", "list", "with");
    expect(listed.map(({ name }) => name)).toEqual(["forge", "gh"]);
    // curl is none of GitHub's programs.
    const answer = await shell.exec("with", "curl", "-sS", "--max-time", "20", "https://api.github.com/user");
    expect([answer.exitCode !== 0, answer.stderr.includes("403")]).toEqual([true, true]);
    expect((await shell.cli(["provider", "delete", "gh"])).exitCode).toBe(1);
    await shell.must("sandbox", "provider", "detach", "with", "gh");
    await shell.must("provider", "delete", "gh");
  }, 60_000);

  test("no file of the gateway and of its sandboxes holds a secret, and no command shows one", async () => {
    const shown = [
      await shell.must("provider", "get", "forge", "-o", "yaml"),
      await shell.must("provider", "list", "-o", "json"),
      await shell.must("sandbox", "get", "with", "-o", "json"),
      await shell.must("sandbox", "provider", "list", "with", "-o", "json"),
      await shell.must("logs", "with"),
      await shell.must("policy", "get", "with"),
      await shell.diagnosis(),
    ].join("\n");
    for (const secret of [FIRST, SECOND, GITHUB]) {
      expect(shown).not.toContain(secret);
      const { stdout } = await net.runOnHost(["grep", "-rlaF", secret, shell.directory]);
      expect(stdout).toBe("");
    }
  }, 60_000);

  test("case-81 no token of the supervisor can be read inside", async () => {
    const script = `tr '\\0' '\\n' < /proc/1/environ; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; env; grep -rlsE 'eyJ[A-Za-z0-9_-]{20,}\\.eyJ' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr; true`;
    const { stdout } = await shell.exec("with", "sh", "-c", script);
    expect(stdout).toContain("OPENSHELL_ENDPOINT=");
    expect(stdout).not.toMatch(/eyJ[A-Za-z0-9_-]{20,}\.eyJ/);
    expect(stdout).not.toContain("spec.json");
    expect(stdout).not.toContain("/run/token");
  }, 60_000);

  test("after a restart of the gateway the secret is still there; a detached provider works no more", async () => {
    await shell.gateway.kill("SIGKILL");
    await shell.startGateway();
    await shell.must("sandbox", "create", "--name", "later", "--policy", shell.policy("later", POLICY), "--provider", "forge");
    expect(await ask("later")).toBe("200");
    expect(authorizations().at(-1)).toBe(`Bearer ${SECOND}`);
    await shell.must("sandbox", "provider", "detach", "later", "forge");
    const script = `TOKEN=openshell:resolve:env:TOKEN; ${ASK}`;
    await eventually(
      "a request that is refused",
      20_000,
      async () => (await shell.exec("later", "sh", "-c", script)).stdout !== "200" || undefined,
      async () => shell.diagnosis(),
    );
    await shell.must("sandbox", "delete", "later");
  }, 60_000);
});
