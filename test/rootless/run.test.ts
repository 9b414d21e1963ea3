/** `openshell sandbox run` as an ordinary user, on the host of a test internet. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Arena, type Attack, PERL, readProbes, rule } from "../attacks/arena.ts";
import { BINARY } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import type { HostProgram } from "../internet/open.ts";
import { as, missingForRootless, OTHER, UNSHARE, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: sandbox run as an ordinary user: ${missing}`);

const ALLOWED = rule("own", "api.example.com", 80, [PERL]);
const PROXY_REQUEST = "GET http://api.example.com/ HTTP/1.1\\r\\nHost: api.example.com\\r\\nConnection: close\\r\\n\\r\\n";

describe.skipIf(missing !== undefined)("sandbox run as an ordinary user", () => {
  let arena: Arena;
  /** $XDG_RUNTIME_DIR of the user. */
  let runtime: string;
  const network = { network: ALLOWED };

  beforeAll(async () => {
    arena = await Arena.open();
    runtime = ownDirectory("runtime", 0o700);
    cpSync(join(import.meta.dir, "hide.pl"), join(arena.net.directory, "programs/hide.pl"));
  });
  afterAll(() => arena?.[Symbol.asyncDispose]());

  function ownDirectory(name: string, mode: number): string {
    const path = join(arena.net.directory, name);
    mkdirSync(path);
    chownSync(path, USER, USER);
    chmodSync(path, mode);
    return path;
  }

  const environment = () => ({ XDG_RUNTIME_DIR: runtime });
  const run = (command: readonly string[], attack: Attack = {}, user = as(USER)) =>
    arena.net.runOnHost([...user, ...arena.commandLine(command, attack)], { env: environment() });
  const shell = (script: string, attack?: Attack, user?: string[]) => run(["/bin/sh", "-c", script], attack, user);
  const start = (script: string) =>
    arena.net.spawnOnHost([...as(USER), ...arena.commandLine(["/bin/sh", "-c", script])], { env: environment() });
  const left = () => readdirSync(join(runtime, "openshell"));
  const running = async (pattern: RegExp) => (await arena.net.processes()).filter(({ commandLine }) => pattern.test(commandLine)).length;

  /** A program that asks the proxy for the allowed host and prints the status line. */
  const asks = (program: string) =>
    [
      program,
      "-MIO::Socket::INET",
      "-e",
      `my $s = IO::Socket::INET->new("10.200.0.1:3128") or die $!; print $s "${PROXY_REQUEST}"; print scalar <$s>`,
    ] as const;

  test("the allowed program reaches the allowed host, and the agent is the user without any right", async () => {
    const { exitCode, stdout, stderr } = await run(asks(PERL), network);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "HTTP/1.1 200 OK\r\n" });
    expect(stderr).toContain("your user");
    const facts = await shell(
      "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cat /proc/self/uid_map /proc/self/setgroups",
    );
    expect(facts.stdout.replaceAll(/[ \t]+/g, " ")).toBe(
      `${USER}\n${USER}\n${["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => `Cap${set}: 0000000000000000\n`).join("")}` +
        `NoNewPrivs: 1\nSeccomp: 2\n ${USER} ${USER} 1\ndeny\n`,
    );
  });

  test("another program, another host and a direct connection are refused, and nothing leaves", async () => {
    const before = await arena.net.seenWhenQuiet();
    const other = join(arena.directory("other"), "perl");
    copyFileSync(PERL, other);
    chmodSync(join(other, ".."), 0o755);
    const program = await run(asks(other), { ...network, mounts: [`${other}:${other}:ro`] });
    expect(program.stdout).toBe("HTTP/1.1 403 Forbidden\r\n");
    const host = await run(asks(PERL), { network: rule("own", "cdn.example.net", 80, [PERL]) });
    expect(host.stdout).toBe("HTTP/1.1 403 Forbidden\r\n");
    // Taken by our own listener, which ends it: an answer would be the server's.
    const direct = `use IO::Socket::INET; $SIG{PIPE} = "IGNORE"; my $s = IO::Socket::INET->new(PeerAddr => "93.184.216.34:80", Timeout => 20);
      syswrite $s, "GET / HTTP/1.0\\r\\nHost: api.example.com\\r\\n\\r\\n" if $s; print $s && sysread($s, my $text, 100) ? $text : "refused"`;
    expect((await run([PERL, "-e", direct], network)).stdout).toBe("refused");
    expect((await arena.net.seenWhenQuiet()).packets).toEqual(before.packets);
  });

  test("threat-11: who hides from the supervisor is seen all the same, or denied and named", async () => {
    const folder = arena.directory("hidden");
    chmodSync(folder, 0o755);
    copyFileSync(PERL, join(folder, "perl"));
    // Root's, and not readable: no process of an ordinary user may look at a program that runs from it.
    chmodSync(join(folder, "perl"), 0o711);
    const outside = await arena.net.spawnOnHost([...as(USER), "/bin/sleep", "86441"]);
    const policy = ALLOWED + rule("hidden", "api.example.com", 80, ["/hidden/perl"]);
    const { exitCode, stdout, stderr } = await run([PERL, "/attacks/hide.pl"], {
      network: policy,
      env: { OUTSIDE_PID: String(outside.pid) },
      mounts: [`${folder}:/hidden:ro`],
    });
    expect(exitCode).toBe(0);
    expect(readProbes(stdout)).toEqual({
      "own rule": "200",
      hide: "ok",
      "own rule, hidden": "200",
      "no rule, hidden": expect.stringMatching(/^403 /),
      "unreadable program": expect.stringMatching(/^403 /),
      "signal to the same user outside": expect.stringMatching(/^(ESRCH|EPERM)$/),
      "signal to our init": expect.stringMatching(/^(EPERM|ok)$/),
      "limits of our init": "refused",
      "processes of the same user": "0",
      alive: "yes",
    });
    expect(stderr).toContain("whose file its user may not read");
    expect(await running(/sleep 86441/)).toBe(1);
    await arena.net.killOnHost(outside.pid, "SIGKILL");
  });

  test("files of the user that the policy does not name do not exist, and a mount is the user's own", async () => {
    const home = ownDirectory("home", 0o700);
    writeFileSync(join(home, "secret"), "secret");
    chownSync(join(home, "secret"), USER, USER);
    expect((await shell(`cat ${home}/secret`)).stderr).toContain("No such file");
    const { exitCode, stdout } = await shell("cat /work/secret && touch /work/new && stat -c %u /work/new", {
      mounts: [`${home}:/work:rw`],
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `secret${USER}\n` });
    expect((await shell("touch /work/again", { mounts: [`${home}:/work:ro`] })).stderr).toContain("Read-only");
  });

  test("what no user may give up is told: the other groups", async () => {
    const { stdout, stderr } = await shell("id -G", {}, as(USER, [4242, 4243]));
    expect(stdout).toContain("65534");
    expect(stderr).toContain("keeps your 2 other groups");
  });

  test("a policy that asks for another user or group is refused with the reason", async () => {
    for (const [key, value] of [
      ["run_as_user", String(OTHER)],
      ["run_as_group", String(OTHER)],
    ]) {
      const policy = `version: 1\nprocess: { ${key}: "${value}" }\n`;
      const { exitCode, stderr } = await shell("true", { policy });
      expect({ key, value, exitCode }).toEqual({ key, value, exitCode: 1 });
      expect(stderr).toContain("an ordinary user can run programs only as itself");
    }
  });

  test("exit codes, signals and the pid are those of the command that was started", async () => {
    expect((await shell("exit 7")).exitCode).toBe(7);
    expect((await shell("kill -KILL $$")).exitCode).toBe(137);
    const program = await start("trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done");
    await program.waitForOutput(/^up$/m);
    await arena.net.killOnHost(program.pid, "SIGTERM");
    expect((await program.exited).exitCode).toBe(3);
  });

  test("nothing is left: no process, namespace, mount or file", async () => {
    const before = {
      namespaces: await arena.net.namespaces(),
      mounts: await arena.net.mounts(),
      processes: (await arena.net.processes()).length,
    };
    await shell("setsid sleep 86442 & exit 0");
    const program = await start("echo up; exec sleep 86443");
    await program.waitForOutput(/^up$/m);
    await arena.net.killOnHost(program.pid, "SIGTERM");
    await program.exited;
    await eventually("end of every process", 5000, async () => (await arena.net.processes()).length <= before.processes || undefined);
    expect(await arena.net.namespaces()).toEqual(before.namespaces);
    expect(await arena.net.mounts()).toEqual(before.mounts);
    expect(left()).toEqual([]);
  });

  test.each(["supervisor", "starter", "init"])(
    "threat-17: kill -9 of the %s ends every process of the program, within a second",
    async (victim) => {
      const script =
        "setsid sleep 86444 & setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 86445; done' & echo up; exec sleep 86446";
      const program = await start(script);
      await program.waitForOutput(/^up$/m);
      const agents = () => running(/sleep 8644[456]/);
      await eventually("start of three programs", 5000, async () => (await agents()) >= 3 || undefined);
      const processes = await arena.net.processes();
      const childOf = (parent: number) => {
        const child = processes.find((process) => process.parent === parent);
        if (child === undefined) throw new Error(`process ${parent} has no child`);
        return child.pid;
      };
      const starter = childOf(program.pid);
      const pid = victim === "supervisor" ? program.pid : victim === "starter" ? starter : childOf(starter);
      await arena.net.killOnHost(pid, "SIGKILL");
      await eventually("end of the agent", 1000, async () => (await agents()) === 0 || undefined);
      expect((await program.exited).exitCode).toBe(137);
    },
  );

  describe("where user namespaces are not allowed", () => {
    /** A user namespace with all users of the host in it, where the number of further ones can be set to none. */
    let holder: HostProgram;

    beforeAll(async () => {
      holder = await arena.net.spawnOnHost([UNSHARE, "--user", "/bin/sh", "-c", "echo up; exec sleep 86447"]);
      await holder.waitForOutput(/^up$/m);
      const map = "for file in uid_map gid_map; do echo 0 0 65536 > /proc/$1/$file; done";
      await arena.net.runOnHost(["/bin/sh", "-c", map, "sh", String(holder.pid)]);
    });
    afterAll(() => arena.net.killOnHost(holder.pid, "SIGKILL"));

    const forbidden = (...command: string[]) =>
      arena.net.runOnHost(
        [
          ...["/usr/bin/nsenter", "--target", String(holder.pid), "--user", "/bin/sh", "-c"],
          ...['echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh", ...as(USER), ...command],
        ],
        { env: environment() },
      );

    test("the error names the sysctl, and the exit code is 1", async () => {
      const { exitCode, stderr } = await forbidden(...arena.commandLine(["/bin/true"]));
      expect(stderr).toContain("sysctl -w user.max_user_namespaces=");
      expect(exitCode).toBe(1);
    });

    test("doctor names it as well", async () => {
      const { exitCode, stdout } = await forbidden(BINARY, "doctor");
      expect(stdout).toContain("user.max_user_namespaces");
      expect(stdout).toContain("A sandbox cannot start here with full protection: user-namespaces.");
      expect(exitCode).toBe(1);
    });
  });

  test("a binary that the user may run and not read is named, with what to change", async () => {
    const folder = arena.directory("binary");
    chmodSync(folder, 0o755);
    const binary = join(folder, "openshell");
    copyFileSync(BINARY, binary);
    chmodSync(binary, 0o711);
    const { exitCode, stderr } = await arena.net.runOnHost([...as(USER), binary, "sandbox", "run", "--", "/bin/true"], {
      env: environment(),
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining(`chmod a+r ${binary}`) });
  });

  test("without XDG_RUNTIME_DIR, a directory for temporary files that somebody else made is not used", async () => {
    const temporary = arena.directory("temporary");
    chmodSync(temporary, 0o1777);
    const env = { TMPDIR: temporary };
    const command = [...as(USER), ...arena.commandLine(["/bin/true"])];
    expect((await arena.net.runOnHost(command, { env })).exitCode).toBe(0);
    const made = join(temporary, `openshell-${USER}`);
    expect(existsSync(made)).toBe(true);
    chownSync(made, OTHER, OTHER);
    const { exitCode, stderr } = await arena.net.runOnHost(command, { env });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("is not a private directory");
  });
});
