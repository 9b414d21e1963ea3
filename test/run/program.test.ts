/** What a program gets from `sandbox run` and what its end looks like outside. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { openSync, readFileSync } from "node:fs";
import { BINARY } from "../e2e/installation.ts";
import { missingForRun, Runs, SYSTEM_PATH, until } from "./harness.ts";

const missing = missingForRun();
if (missing !== undefined) console.log(`skipped: programs of sandbox run: ${missing}`);

describe.skipIf(missing !== undefined)("sandbox run: the program", () => {
  const runs = new Runs();
  afterAll(() => runs[Symbol.dispose]());

  test("its exit code is ours; a signal is 128 + its number", async () => {
    for (const [script, code] of [
      ["exit 0", 0],
      ["exit 1", 1],
      ["exit 255", 255],
      ["kill -TERM $$", 143],
      ["kill -KILL $$", 137],
      ["kill -SEGV $$", 139],
    ] as const) {
      expect({ script, code: (await runs.shell(script)).exitCode }).toEqual({ script, code });
    }
  });

  test("case-101 --timeout ends it with 124, also when it does not want to", async () => {
    expect(await runs.shell("exec sleep 60", ["--timeout", "1"])).toMatchObject({ exitCode: 124 });
    expect(await runs.shell("trap '' TERM; while :; do sleep 0.1; done", ["-t", "1"])).toMatchObject({ exitCode: 124 });
    expect(await runs.shell("exit 3", ["--timeout", "2147483"])).toMatchObject({ exitCode: 3 });
  });

  test("case-101 orphans are collected while it runs", async () => {
    const { stdout } = await runs.shell(
      `for i in 1 2 3 4 5; do (sh -c 'sleep 0.05 & exit 0'); done; sleep 0.5
       for stat in /proc/[0-9]*/stat; do read -r line < $stat; echo "\${line##*) }"; done`,
    );
    const states = stdout.trim().split("\n");
    expect(states.length).toBeGreaterThan(0);
    expect(states.filter((state) => state.startsWith("Z"))).toEqual([]);
  });

  test("what it leaves running ends with it", async () => {
    const started = performance.now();
    expect(await runs.shell("setsid sleep 86431 >/dev/null 2>&1 & exit 5")).toMatchObject({ exitCode: 5 });
    expect(performance.now() - started).toBeLessThan(60_000);
    expect(Bun.spawnSync({ cmd: ["/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"] }).stdout.toString()).not.toContain(
      "sleep 86431",
    );
  });

  test("threat-13 the supervisor, which knows the secrets, leaves no core dump", async () => {
    const program = runs.start(["--policy", runs.closed, "--", "/bin/sh", "-c", "echo up; exec sleep 60"]);
    await until(program.stdout, /up/);
    expect(readFileSync(`/proc/${program.pid}/limits`, "utf8")).toMatch(/^Max core file size +0 +0 /m);
    program.kill();
    await program.exited;
  });

  test("large input and output pass unchanged", async () => {
    const data = randomBytes(32 << 20);
    const program = runs.start(["--policy", runs.closed, "--", "/bin/cat"], { stdin: data });
    const hash = createHash("sha256");
    for await (const chunk of program.stdout) hash.update(chunk);
    expect(await program.exited).toBe(0);
    expect(hash.digest("hex")).toBe(createHash("sha256").update(data).digest("hex"));
  });

  test("a reader that has enough ends it by SIGPIPE; its stderr stays apart from its stdout", async () => {
    const script = `"$0" sandbox run --policy "$1" -- sh -c 'echo to-stderr >&2; exec yes' | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = Bun.spawnSync({
      cmd: ["/bin/bash", "-c", script, BINARY, runs.closed],
      cwd: "/",
      env: { PATH: SYSTEM_PATH },
      stdin: "ignore",
    });
    expect(stdout.toString()).toBe("y\n141\n");
    expect(stderr.toString()).toContain("to-stderr\n");
  });

  test("a full or closed stderr of ours is not its problem", async () => {
    const full = openSync("/dev/full", "w");
    const program = Bun.spawn({
      cmd: [BINARY, "sandbox", "run", "--policy", runs.closed, "--", "/bin/sh", "-c", "echo fine; exit 6"],
      cwd: "/",
      env: { PATH: SYSTEM_PATH },
      stdin: "ignore",
      stdout: "pipe",
      stderr: full,
    });
    expect(await new Response(program.stdout).text()).toBe("fine\n");
    expect(await program.exited).toBe(6);
  });

  test("its environment is the listed one and nothing of the supervisor's", async () => {
    const { stdout } = await runs.run(
      ["--env", "EXTRA=one two", "--env", "EMPTY=", "--env", "HTTP_PROXY=http://evil:1"],
      ["/usr/bin/env", "-0"],
      {
        env: {
          PATH: `/opt/tools/bin:${SYSTEM_PATH}`,
          LANG: "C.UTF-8",
          LC_TIME: "C",
          TERM: "vt100",
          TZ: "UTC",
          OPENSHELL_SANDBOX_NAME: "named",
          OPENSHELL_SANDBOX_ID: "id-7",
          SECRET: "of the host",
          LD_LIBRARY_PATH: "/nonexistent",
          SSH_AUTH_SOCK: "/run/agent",
          XDG_RUNTIME_DIR: "/run/user/0",
          NODE_OPTIONS: "--no-warnings",
          SSL_CERT_FILE: "/nonexistent",
          OPENSHELL_SUPERVISOR_SECRET: "x",
        },
      },
    );
    const proxy = "http://10.200.0.1:3128";
    const environment = Object.fromEntries(
      stdout
        .split("\0")
        .filter(Boolean)
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    // Where programs look for authorities; each names a file of the box.
    for (const [name, value] of Object.entries(environment)) {
      if (/_CERTS?$|_CERT_FILE$|_CA_BUNDLE$|_CAINFO$|_ROOTS_FILE_PATH$|_cafile$/.test(name)) {
        expect(value).toStartWith("/etc/openshell-tls/");
        delete environment[name];
      }
    }
    expect(environment).toEqual({
      PATH: `/opt/tools/bin:${SYSTEM_PATH}`,
      LANG: "C.UTF-8",
      LC_TIME: "C",
      TERM: "vt100",
      TZ: "UTC",
      HOME: "/sandbox",
      USER: "sandbox",
      LOGNAME: "sandbox",
      SHELL: "/bin/bash",
      EXTRA: "one two",
      EMPTY: "",
      HTTP_PROXY: proxy,
      HTTPS_PROXY: proxy,
      ALL_PROXY: proxy,
      http_proxy: proxy,
      https_proxy: proxy,
      grpc_proxy: proxy,
      NO_PROXY: "127.0.0.1,localhost,::1",
      no_proxy: "127.0.0.1,localhost,::1",
      NODE_USE_ENV_PROXY: "1",
      OPENSHELL_SANDBOX: "1",
      OPENSHELL_SANDBOX_NAME: "named",
      NEMOCLAW_SANDBOX_NAME: "named",
      OPENSHELL_SANDBOX_ID: "id-7",
      NAVIGATOR_SANDBOX_ID: "id-7",
      OPENSHELL_WORKSPACE: "default",
      PGCHANNELBINDING: "disable",
    });
  });

  test("the names of older installations are read when the new ones are absent", async () => {
    const env = { NEMOCLAW_SANDBOX_NAME: "old-name", NAVIGATOR_SANDBOX_ID: "old-id", OPENSHELL_SANDBOX: "never-the-name" };
    const { stdout } = await runs.shell("echo $OPENSHELL_SANDBOX_NAME $OPENSHELL_SANDBOX_ID $(hostname)", [], { env });
    expect(stdout).toBe("old-name old-id old-name\n");
    const both = await runs.shell("echo $OPENSHELL_SANDBOX_NAME", [], { env: { ...env, OPENSHELL_SANDBOX_NAME: "new-name" } });
    expect(both.stdout).toBe("new-name\n");
    const flag = await runs.shell("echo $OPENSHELL_SANDBOX_NAME", ["--sandbox-name", "flag-name"], { env });
    expect(flag.stdout).toBe("flag-name\n");
  });

  test("--workdir is where it starts, /sandbox by default", async () => {
    expect((await runs.run([], ["/bin/pwd"])).stdout).toBe("/sandbox\n");
    expect((await runs.run(["--workdir", "/tmp"], ["/bin/pwd"])).stdout).toBe("/tmp\n");
    expect((await runs.run(["-w", "/usr/bin"], ["./env", "-i", "/bin/pwd"])).stdout).toBe("/usr/bin\n");
  });
});
