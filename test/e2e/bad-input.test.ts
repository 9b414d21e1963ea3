/** Bad input and missing surroundings: the right exit code, one clear sentence, the next step, and never a stack trace. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BINARY, missingBinary } from "./installation.ts";

const missing = missingBinary();
if (missing !== undefined) console.log(`skipped: bad input: ${missing}`);

/** How stack traces and uncaught errors look in Bun. */
const TRACE = /^\s+at .*[:(]\d+|\bat <anonymous>|Uncaught|UnhandledPromise|bunfs|Bun v\d|TypeError|ReferenceError/m;

describe.skipIf(missing !== undefined)("bad input", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "openshell-bad-input-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function openshell(argv: string[], extra: { uid?: number; env?: Record<string, string> } = {}) {
    const asUser = extra.uid === undefined ? [] : ["/usr/bin/setpriv", `--reuid=${extra.uid}`, `--regid=${extra.uid}`, "--clear-groups"];
    const { exitCode, stdout, stderr } = Bun.spawnSync({
      cmd: [...asUser, BINARY, ...argv],
      cwd: "/",
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: folder,
        XDG_STATE_HOME: join(folder, "state"),
        XDG_CONFIG_HOME: join(folder, "config"),
        OPENSHELL_SYSTEM_GATEWAY_DIR: join(folder, "system"),
        NO_COLOR: "1",
        ...extra.env,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const result = { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
    expect(`${result.stdout}${result.stderr}`).not.toMatch(TRACE);
    return result;
  }

  function policy(text: string): string {
    const path = join(folder, `policy-${Bun.hash(text)}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  const policies: { name: string; text: string; says: (string | RegExp)[] }[] = [
    { name: "not YAML", text: "version: [1\n", says: [/line |:\d+/] },
    { name: "an unknown key", text: "version: 1\nnetwork_polices: {}\n", says: ["network_polices", /\b2\b/] },
    { name: "no version", text: "network_policies: {}\n", says: ["version"] },
    {
      name: "a port out of range",
      text: "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n      - host: example.com\n        port: 70000\n    binaries: [{ path: /usr/bin/curl }]\n",
      says: ["network_policies.a.endpoints[0].port", /\b6\b/, "65535"],
    },
    {
      name: "a relative path",
      text: "version: 1\nfilesystem_policy:\n  read_only: [usr]\n",
      says: ["filesystem_policy.read_only[0]", /\b3\b/],
    },
    { name: "a list where a map belongs", text: "version: 1\nnetwork_policies: []\n", says: ["network_policies", /\b2\b/] },
    {
      name: "a lone star as host",
      text: 'version: 1\nnetwork_policies:\n  a:\n    endpoints: [{ host: "*", port: 80 }]\n    binaries: [{ path: /bin/sh }]\n',
      says: ["host"],
    },
    { name: "root as the user", text: 'version: 1\nprocess: { run_as_user: "0" }\n', says: ["run_as_user"] },
    {
      name: "an unknown landlock mode",
      text: "version: 1\nlandlock: { compatibility: sometimes }\n",
      says: ["compatibility", "best_effort", "hard_requirement"],
    },
  ];

  for (const { name, text, says } of policies) {
    test(`policy with ${name}: exit 2 with field, line and what was expected`, () => {
      const path = policy(text);
      for (const argv of [
        ["policy", "validate", path],
        ["sandbox", "create", "--name", "x", "--policy", path, "--", "/bin/true"],
        ["sandbox", "run", "--policy", path, "--", "/bin/true"],
      ]) {
        const { exitCode, stderr, stdout } = openshell(argv);
        expect({ argv, exitCode, stderr }).toEqual({ argv, exitCode: 2, stderr });
        for (const pattern of says)
          expect(`${stdout}${stderr}`).toMatch(pattern instanceof RegExp ? pattern : new RegExp(pattern.replace(/[.[\]*]/g, "\\$&")));
      }
    });
  }

  test("a policy file that is not there: exit 2 with its path", () => {
    for (const argv of [
      ["policy", "validate", "/nonexistent/policy.yaml"],
      ["sandbox", "run", "--policy", "/nonexistent/policy.yaml", "--", "/bin/true"],
    ]) {
      const { exitCode, stderr } = openshell(argv);
      expect({ argv, exitCode }).toEqual({ argv, exitCode: 2 });
      expect(stderr).toContain("/nonexistent/policy.yaml");
    }
  });

  test("an unknown command or flag: exit 2 with the nearest name", () => {
    for (const [argv, near] of [
      [["sandbx", "list"], "sandbox"],
      [["sandbox", "crate"], "create"],
      [["sandbox", "create", "--polcy", "x"], "--policy"],
      [["gateway", "serve", "--prot", "1"], "--port"],
    ] as const) {
      const { exitCode, stderr } = openshell([...argv]);
      expect({ argv, exitCode }).toEqual({ argv, exitCode: 2 });
      expect(stderr).toContain(near);
    }
  });

  test("a flag value out of range or missing: exit 2 with both bounds", () => {
    const range = openshell(["gateway", "serve", "--port", "70000"]);
    expect(range.exitCode).toBe(2);
    expect(range.stderr).toContain("65535");
    expect(openshell(["gateway", "serve", "--port", "http"]).exitCode).toBe(2);
    expect(openshell(["sandbox", "create", "--name"]).exitCode).toBe(2);
  });

  test("no gateway: one sentence and the command that starts one", () => {
    for (const argv of [
      ["sandbox", "list"],
      ["sandbox", "exec", "-n", "x", "--", "/bin/true"],
      ["sandbox", "draft", "x"],
      ["logs", "x"],
    ]) {
      const { exitCode, stderr } = openshell(argv);
      expect({ argv, exitCode }).toEqual({ argv, exitCode: 1 });
      expect(stderr).toContain("openshell gateway serve");
    }
    // `status` is a question, and "none" is an answer.
    const status = openshell(["status"]);
    expect(status.exitCode).toBe(0);
    expect(status.stdout).toContain("openshell gateway serve");
  });

  test("a gateway of a user who has no directory for its state: exit 1 with the remedy", () => {
    const { exitCode, stderr } = openshell(["gateway", "serve", "--state-dir", "/root/openshell-nobody"], { uid: 65534 });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("give --state-dir a directory of your own");
  });

  test("a public address without TLS, and a uid range with root in it, are refused", () => {
    const open = openshell(["gateway", "serve", "--disable-tls", "--bind-address", "0.0.0.0"]);
    expect([1, 2]).toContain(open.exitCode);
    expect(open.stderr).toContain("loopback");
    expect([1, 2]).toContain(openshell(["gateway", "serve", "--uid-range", "0-10"]).exitCode);
  });
});
