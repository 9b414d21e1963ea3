/** Where the policy comes from, in which order, and how a change of it takes effect while the program runs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY } from "../e2e/installation.ts";
import { allowed } from "../e2e/programs.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { CLOSED, type Ended, missingForRun, Runs, SYSTEM_PATH } from "./harness.ts";

const missing =
  missingForRun() ?? missingForTestInternet() ?? (allowed.path.startsWith("/usr/") ? undefined : "no client program in /usr/bin");
if (missing !== undefined) console.log(`skipped: policies of sandbox run: ${missing}`);

const unshare = Bun.which("unshare");
if (missing === undefined && unshare === null) console.log("skipped: look-up of policies: unshare(1) is not installed");

describe.skipIf(missing !== undefined || unshare === null)("sandbox run: which policy", () => {
  const runs = new Runs();
  afterAll(() => runs[Symbol.dispose]());

  /** Runs with an /etc of its own, in a mount namespace of its own, that has these files besides what programs need. */
  function withEtc(
    files: Readonly<Record<string, string>>,
    words: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Ended {
    const etc = join(runs.directory, `etc-${Bun.hash(JSON.stringify([files, words, env]))}`);
    mkdirSync(etc, { mode: 0o755 });
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(etc, name, ".."), { recursive: true, mode: 0o755 });
      writeFileSync(join(etc, name), text, { mode: 0o644 });
    }
    const script = `for name in passwd group hosts resolv.conf ssl alternatives ld.so.cache ld.so.conf ld.so.conf.d; do
        [ -e /etc/$name ] && cp -a /etc/$name "$0"/; done
      mount --bind "$0" /etc && exec "$@"`;
    const { exitCode, stdout, stderr } = Bun.spawnSync({
      cmd: [unshare ?? "", "-m", "/bin/sh", "-c", script, etc, BINARY, "sandbox", "run", ...words, "--", "/bin/true"],
      cwd: runs.directory,
      env: { PATH: SYSTEM_PATH, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  const both = { "openshell/policy.yaml": CLOSED, "navigator/policy.yaml": CLOSED };

  test("--policy, then the variable, then the host's, then the older path, then no network", () => {
    const flag = runs.file("flag.yaml", CLOSED);
    const variable = runs.file("variable.yaml", CLOSED);
    const named = { OPENSHELL_SANDBOX_POLICY: variable };
    expect(withEtc(both, ["--policy", flag], named).stderr).toContain(`policy from ${flag}`);
    expect(withEtc(both, [], named).stderr).toContain(`policy from ${variable}`);
    expect(withEtc(both).stderr).toContain("policy from /etc/openshell/policy.yaml");
    const older = withEtc({ "navigator/policy.yaml": CLOSED }).stderr;
    expect(older).toContain("policy from /etc/navigator/policy.yaml");
    expect(older).toContain("legacy path");
    expect(withEtc({}).stderr).toContain("policy from restrictive default");
    expect(withEtc(both, [], { OPENSHELL_SANDBOX_POLICY: "" }).stderr).toContain("policy from /etc/openshell/policy.yaml");
  });

  test("a relative name means the directory of the caller", () => {
    runs.file("here.yaml", CLOSED);
    expect(withEtc(both, ["--policy", "here.yaml"]).stderr).toContain(`policy from ${join(runs.directory, "here.yaml")}`);
  });

  test("a named policy that is bad is an error; a found one that is bad means no network", () => {
    const bad = runs.file("bad.yaml", "version: 1\nnetwork_polices: {}\n");
    expect(withEtc(both, ["--policy", bad])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("network_polices") });
    expect(withEtc(both, [], { OPENSHELL_SANDBOX_POLICY: bad })).toMatchObject({ exitCode: 2 });
    const found = withEtc({ ...both, "openshell/policy.yaml": "version: 1\nnetwork_polices: {}\n" });
    expect(found.exitCode).toBe(0);
    expect(found.stderr).toContain("policy from restrictive default");
    expect(found.stderr).toContain("unsafe-disk-policy");
    expect(found.stderr).toContain("network_polices");
  });
});

describe.skipIf(missing !== undefined)("sandbox run: reload", () => {
  const runs = new Runs();
  let net: TestInternet;
  beforeAll(async () => {
    net = await openTestInternet();
  });
  afterAll(async () => {
    await net?.[Symbol.asyncDispose]();
    runs[Symbol.dispose]();
  });

  const open = `version: 1
network_policies:
  api:
    endpoints: [{ host: api.example.com, port: 80 }]
    binaries: [{ path: ${allowed.path} }]
`;

  /** A program that fetches whenever it is told to, and says how that went. */
  async function fetching(policy: string, flags: readonly string[] = []) {
    const words = allowed.fetch("http://api.example.com/").map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    const script = `echo ready; while read -r line; do if ${words.join(" ")} >/dev/null 2>&1; then echo $line yes; else echo $line no; fi; done`;
    const program = await net.spawnOnHost([BINARY, "sandbox", "run", "--policy", policy, ...flags, "--", "/bin/sh", "-c", script]);
    await program.waitForOutput(/ready/);
    let asked = 0;
    return {
      program,
      async reaches(): Promise<boolean> {
        asked += 1;
        await program.write(`try-${asked}\n`);
        const [, answer] = await program.waitForOutput(new RegExp(`try-${asked} (yes|no)`));
        return answer === "yes";
      },
      async end(): Promise<void> {
        await program.closeInput();
        expect((await program.exited).exitCode).toBe(0);
      },
    };
  }

  test("a changed file takes effect on the running program, in both directions, also when it is replaced", async () => {
    const policy = runs.file("live.yaml", CLOSED);
    const session = await fetching(policy);
    expect(await session.reaches()).toBe(false);
    writeFileSync(policy, open);
    await session.program.waitForOutput(/policy reloaded from .* \(version 2\)/);
    expect(await session.reaches()).toBe(true);
    renameSync(runs.file("next.yaml", CLOSED), policy);
    await session.program.waitForOutput(/\(version 3\)/);
    expect(await session.reaches()).toBe(false);
    await session.end();
  });

  test("SIGHUP reloads at once; a bad, a missing and then a good file", async () => {
    const policy = runs.file("hup.yaml", open);
    const session = await fetching(policy);
    expect(await session.reaches()).toBe(true);
    writeFileSync(policy, "version: 1\nnetwork_policies:\n  api:\n    endpoints: [{ host: api.example.com, port: 70000 }]\n");
    await session.program.kill("SIGHUP");
    await session.program.waitForOutput(/reload failed, the last good policy stays in force: .*port.*65535/);
    expect(await session.reaches()).toBe(true);
    rmSync(policy);
    await session.program.kill("SIGHUP");
    await session.program.waitForOutput(/reload failed.*cannot read policy file/);
    expect(await session.reaches()).toBe(true);
    writeFileSync(policy, CLOSED);
    await session.program.kill("SIGHUP");
    await session.program.waitForOutput(/policy reloaded/);
    expect(await session.reaches()).toBe(false);
    await session.end();
  });

  test("what was fixed at the start stays, and it says so", async () => {
    const policy = runs.file("static.yaml", CLOSED);
    const session = await fetching(policy);
    writeFileSync(policy, `${open}landlock: { compatibility: best_effort }\n`);
    await session.program.waitForOutput(/landlock changed in .*: takes effect at the next start/);
    expect(await session.reaches()).toBe(true);
    await session.end();
  });

  test("threat-03 a policy that the program may write is never read again", async () => {
    const project = join(runs.directory, "project");
    mkdirSync(project);
    writeFileSync(join(project, "policy.yaml"), CLOSED);
    symlinkSync(join(project, "policy.yaml"), join(runs.directory, "link.yaml"));
    for (const path of [join(project, "policy.yaml"), join(runs.directory, "link.yaml")]) {
      const session = await fetching(path, ["--mount", `${project}:/sandbox/project:rw`]);
      expect(session.program.stderr).toContain("not watched for changes");
      writeFileSync(join(project, "policy.yaml"), open);
      expect(await session.reaches()).toBe(false);
      // Without a file to follow it is an ordinary signal, and ends an ordinary program.
      await session.program.kill("SIGHUP");
      expect((await session.program.exited).exitCode).toBe(129);
      writeFileSync(join(project, "policy.yaml"), CLOSED);
    }
  });
});
