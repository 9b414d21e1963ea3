/** Surroundings that do not fit: exit 1 (2 for what was typed or written) with the remedy, and the program never runs. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARY } from "../e2e/installation.ts";
import { missingForRun, Runs, SYSTEM_PATH } from "./harness.ts";

const missing = missingForRun();
if (missing !== undefined) console.log(`skipped: surroundings of sandbox run: ${missing}`);

describe.skipIf(missing !== undefined)("sandbox run: surroundings", () => {
  const runs = new Runs();
  afterAll(() => runs[Symbol.dispose]());

  const cases: { name: string; words: () => readonly string[]; exitCode: number; says: RegExp[]; path?: string }[] = [
    { name: "no command", words: () => [], exitCode: 2, says: [/no command given/, /openshell sandbox run -- COMMAND/] },
    { name: "a command that is nowhere", words: () => ["--", "no-such-program"], exitCode: 1, says: [/no-such-program/, /PATH/] },
    {
      name: "a command that only the host has",
      path: `${runs.directory}/bin:${SYSTEM_PATH}`,
      words: () => {
        mkdirSync(join(runs.directory, "bin"), { recursive: true });
        runs.file("bin/host-only", "#!/bin/sh\n", 0o755);
        return ["--", "host-only"];
      },
      exitCode: 1,
      says: [new RegExp(`${runs.directory}/bin/host-only on the host`), /--mount .*host-only|read_only/],
    },
    { name: "a command that is no program", words: () => ["--", "/usr/bin"], exitCode: 1, says: [/\/usr\/bin/] },
    {
      name: "a missing workdir",
      words: () => ["--workdir", "/nowhere", "--", "true"],
      exitCode: 1,
      says: [/\/nowhere/, /exists in the sandbox/],
    },
    { name: "a workdir that is a file", words: () => ["--workdir", "/usr/bin/env", "--", "true"], exitCode: 1, says: [/\/usr\/bin\/env/] },
    {
      name: "a policy that is not there",
      words: () => ["--policy", "/nowhere.yaml", "--", "true"],
      exitCode: 2,
      says: [/\/nowhere\.yaml/],
    },
    { name: "a policy that is a directory", words: () => ["--policy", runs.directory, "--", "true"], exitCode: 2, says: [/--policy/] },
    {
      name: "case-97 a user that the root file system does not have",
      words: () => ["--policy", runs.file("user.yaml", "version: 1\nprocess: { run_as_user: nobody-here }\n"), "--", "true"],
      exitCode: 1,
      says: [/run_as_user/, /nobody-here/, /sandbox/],
    },
    {
      name: "root by name as the user",
      words: () => ["--policy", runs.file("by-name.yaml", "version: 1\nprocess: { run_as_user: root }\n"), "--", "true"],
      exitCode: 2,
      says: [/run_as_user/, /line 2/, /other than root/],
    },
    {
      name: "root's group",
      words: () => [
        "--policy",
        runs.file("group.yaml", "version: 1\nprocess: { run_as_user: nobody, run_as_group: root }\n"),
        "--",
        "true",
      ],
      exitCode: 2,
      says: [/run_as_group/],
    },
    {
      name: "root as the user",
      words: () => ["--policy", runs.file("root.yaml", 'version: 1\nprocess: { run_as_user: "0" }\n'), "--", "true"],
      exitCode: 2,
      says: [/run_as_user/],
    },
    {
      name: "a policy path that the host lacks, under hard_requirement",
      words: () => ["--policy", runs.file("path.yaml", "version: 1\nfilesystem_policy:\n  read_only: [/usr, /nowhere]\n"), "--", "true"],
      exitCode: 1,
      says: [/\/nowhere/, /best_effort/],
    },
    { name: "a mount of nothing", words: () => ["--mount", "/nowhere:/data", "--", "true"], exitCode: 1, says: [/\/nowhere/] },
    { name: "a mount that is not one", words: () => ["--mount", "/usr:data", "--", "true"], exitCode: 2, says: [/SRC\[:DST\]/] },
    { name: "a mount over /proc", words: () => ["--mount", "/usr:/proc/x", "--", "true"], exitCode: 2, says: [/\/proc/] },
    { name: "a variable without a value", words: () => ["--env", "NAME", "--", "true"], exitCode: 2, says: [/--env/, /KEY=VALUE/] },
    { name: "a time that is none", words: () => ["--timeout", "soon", "--", "true"], exitCode: 2, says: [/--timeout/, /soon/] },
    { name: "a time beyond the timers", words: () => ["--timeout", "2147484", "--", "true"], exitCode: 2, says: [/2147483/] },
    { name: "a CIDR that is none", words: () => ["--trusted-cidr", "10.0.0.0/99", "--", "true"], exitCode: 2, says: [/10\.0\.0\.0\/99/] },
    {
      name: "threat-21 a log directory that the program could write",
      words: () => {
        mkdirSync(join(runs.directory, "shared"));
        symlinkSync(join(runs.directory, "shared"), join(runs.directory, "alias"));
        return ["--mount", `${runs.directory}/shared:/data:rw`, "--log-dir", join(runs.directory, "alias/log"), "--", "true"];
      },
      exitCode: 2,
      says: [/--log-dir/, /may write/],
    },
  ];

  for (const { name, words, exitCode, says, path } of cases) {
    test(`${name}: exit ${exitCode} with the remedy`, async () => {
      const result = await runs.words(words(), {
        env: { OPENSHELL_SANDBOX_POLICY: runs.closed, ...(path === undefined ? {} : { PATH: path }) },
      });
      expect({ ...result, stdout: "" }).toMatchObject({ exitCode, stdout: "" });
      for (const pattern of says) expect(result.stderr).toMatch(pattern);
      expect(result.stderr).not.toMatch(/^\s+at .*[:(]\d+|bunfs|TypeError|EISDIR/m);
    });
  }

  test("process.run_as_user may be an account of the host; inside it is called sandbox", async () => {
    const account = readFileSync("/etc/passwd", "utf8").match(/^nobody:[^:]*:(\d+):(\d+):/m);
    const named = runs.file("account.yaml", "version: 1\nprocess: { run_as_user: nobody }\n");
    const { exitCode, stdout } = await runs.words(["--policy", named, "--", "/bin/sh", "-c", "id -u; id -g; id -un"]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${account?.[1]}\n${account?.[2]}\nsandbox\n` });
    const validated = Bun.spawnSync({ cmd: [BINARY, "policy", "validate", named], env: { NO_COLOR: "1" } });
    expect(validated.exitCode).toBe(0);
    expect(validated.stderr.toString()).toContain("without a gateway");
  });

  test("--mount shows a directory read-only, or lets the owner's uid write", async () => {
    const shared = join(runs.directory, "mounted");
    mkdirSync(shared);
    writeFileSync(join(shared, "file"), "text\n", { mode: 0o644 });
    const readOnly = await runs.shell("cat /data/file; touch /data/new || echo refused", ["--mount", `${shared}:/data`]);
    expect(readOnly.stdout).toBe("text\nrefused\n");
    const owned = runs.file("owned.yaml", 'version: 1\nprocess: { run_as_user: "4242" }\n');
    Bun.spawnSync({ cmd: ["/bin/chown", "-R", "4242", shared] });
    const written = await runs.words([
      "--policy",
      owned,
      "--mount",
      `${shared}:/data:rw`,
      "--",
      "/bin/sh",
      "-c",
      "id -u; echo more > /data/new",
    ]);
    expect(written).toMatchObject({ exitCode: 0, stdout: "4242\n" });
    expect(readFileSync(join(shared, "new"), "utf8")).toBe("more\n");
    expect(statSync(join(shared, "new")).uid).toBe(4242);
    const same = await runs.words(["--policy", owned, "--mount", `${shared}:ro`, "--", "/bin/cat", join(shared, "new")]);
    expect(same.stdout).toBe("more\n");
  });

  test("a person's directory, mounted rw, belongs to the program inside, and what it makes there belongs to the person", async () => {
    const home = join(runs.directory, "home");
    mkdirSync(home);
    writeFileSync(join(home, "notes"), "mine\n", { mode: 0o600 });
    Bun.spawnSync({ cmd: ["/bin/chown", "-R", "4243:4244", home] });
    const script = "stat -c %u /data /data/notes | uniq; id -u; echo more >> /data/notes; mkdir /data/made";
    const { stdout, exitCode } = await runs.shell(script, ["--mount", `${home}:/data:rw`]);
    const [owner, program, ...rest] = stdout.trim().split("\n");
    expect({ exitCode, owner, rest }).toEqual({ exitCode: 0, owner: program, rest: [] });
    expect(readFileSync(join(home, "notes"), "utf8")).toBe("mine\nmore\n");
    expect(statSync(join(home, "made"))).toMatchObject({ uid: 4243, gid: 4244 });
    expect(statSync(home)).toMatchObject({ uid: 4243, gid: 4244 });
  });

  test("--log-dir gets readable lines and OCSF records, and keeps the newest three of each", async () => {
    const logs = join(runs.directory, "logs/deep");
    mkdirSync(logs, { recursive: true });
    for (const day of ["2020-01-01", "2020-01-02", "2020-01-03"]) {
      for (const name of ["openshell", "openshell-ocsf"]) writeFileSync(join(logs, `${name}.${day}.log`), "old\n");
    }
    writeFileSync(join(logs, "not-ours.log"), "");
    await runs.shell("exec 3<>/dev/tcp/10.200.0.1/3128 2>/dev/null; true", ["--log-dir", logs, "--sandbox-name", "logged"]);
    const today = new Date().toISOString().slice(0, 10);
    expect(readdirSync(logs).sort()).toEqual(
      [
        "not-ours.log",
        ...["openshell", "openshell-ocsf"].flatMap((name) => ["2020-01-02", "2020-01-03", today].map((day) => `${name}.${day}.log`)),
      ].sort(),
    );
    expect(readFileSync(join(logs, `openshell.${today}.log`), "utf8")).toMatch(/^\S+Z OCSF CONFIG:LOADED \[INFO\] policy from /);
    const records = readFileSync(join(logs, `openshell-ocsf.${today}.log`), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(records[0]).toMatchObject({ class_uid: expect.any(Number), metadata: expect.anything() });
    // Nothing on disk is for others to write.
    for (const file of readdirSync(logs)) expect(statSync(join(logs, file)).mode & 0o022).toBe(0);
  });

  test("without --log-dir no log file is written", async () => {
    await runs.shell("exit 0");
    expect(existsSync("/var/log/openshell")).toBe(false);
  });
});
