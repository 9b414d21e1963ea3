import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { BINARY } from "../gateway/host.ts";
import { Entry, HOST, missingForSsh, SANDBOX } from "./entry.ts";

/** Sandboxes are started with programs of the machine: this long is enough on one that is three times slower. */
const START_TIME = 60_000;

const missing = missingForSsh("ssh", "scp", "sftp", "perl");
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)("entering a sandbox", () => {
  let entry: Entry;
  beforeAll(async () => {
    entry = await Entry.open();
  }, START_TIME);
  afterAll(async () => {
    await entry?.[Symbol.asyncDispose]();
  }, START_TIME);

  const put = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(entry.files, name), content);
    return name;
  };
  const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

  describe("a command", () => {
    test("case-98 runs in a login shell as the sandbox's user, with its exit code, its output and errors apart", async () => {
      const ran = await entry.ssh("shopt -q login_shell && echo login; id -un; pwd; echo err >&2; exit 7");
      expect(ran).toEqual({ exitCode: 7, stdout: "login\nsandbox\n/sandbox\n", stderr: "err\n" });
    });

    test("case-98 has the environment of the main process, proxy variables in both cases too", async () => {
      const byExec = (await entry.cli("sandbox", "exec", "-n", SANDBOX, "--", "/usr/bin/env")).stdout.split("\n");
      const bySsh = (await entry.inside("env")).split("\n");
      const names = (lines: readonly string[]): string[] =>
        lines.filter((line) => !/^(_|SHLVL|PWD|OLDPWD|PATH|TERM)=/.test(line) && line !== "").sort();
      expect(names(bySsh)).toEqual(names(byExec));
      expect(bySsh).toContain("https_proxy=http://10.200.0.1:3128");
      expect(bySsh).toContain("HTTPS_PROXY=http://10.200.0.1:3128");
    });

    test("case-98 reads its input to the end, bytes unchanged both ways", async () => {
      const bytes = randomBytes(300_000);
      const ran = await entry.run(["ssh", "-F", entry.config, HOST, "sha256sum; exit 3"], bytes);
      expect([ran.exitCode, ran.stdout]).toEqual([3, `${digest(bytes)}  -\n`]);
    });

    test("a program killed by a signal ends with 128 and its number", async () => {
      expect((await entry.ssh("kill -9 $$")).exitCode).toBe(137);
    });

    test("many at a time do not mix", async () => {
      const numbers = Array.from({ length: 6 }, (_, index) => String(index));
      const outputs = await Promise.all(numbers.map((number) => entry.cli("sandbox", "exec", "-n", SANDBOX, "--", "echo", number)));
      expect(outputs.map(({ stdout }) => stdout.trim())).toEqual(numbers);
    });

    test("is confined like the agent: no way out, no capability, no new privileges, seccomp, its own mounts", async () => {
      const [byExec, bySsh] = await Promise.all([
        entry.cli("sandbox", "exec", "-n", SANDBOX, "--", "grep", "-E", "^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)", "/proc/self/status"),
        entry.inside("grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/self/status"),
      ]);
      expect(bySsh).toBe(byExec.stdout.trimEnd());
      expect(bySsh).toContain("NoNewPrivs:\t1");
      expect(await entry.inside("readlink /proc/self/ns/net /proc/self/ns/pid")).toBe(
        (await entry.cli("sandbox", "exec", "-n", SANDBOX, "--", "readlink", "/proc/self/ns/net", "/proc/self/ns/pid")).stdout.trimEnd(),
      );
      expect((await entry.ssh("cat /root/.ssh/id_ed25519 /etc/shadow; touch /usr/x; setpriv --reuid 0 id -u")).stdout).toBe("");
    });
  });

  describe("a terminal", () => {
    test("case-98 echoes, follows its size, and passes on interrupts and exit codes", async () => {
      const screen = entry.terminal(BINARY, "sandbox", "connect", SANDBOX);
      await screen.shows(/\$ $/);
      screen.type("echo si''ze; stty size\r");
      await screen.shows(/30 100/);
      screen.resize(132, 43);
      await screen.shows(/\$ $/);
      screen.type("stty size\r");
      await screen.shows(/43 132/);
      screen.type("sleep 1000\r");
      await screen.shows(/sleep 1000/);
      screen.type("\x03");
      await screen.shows(/\^C/);
      screen.type("exit 9\r");
      expect(await screen.exited()).toBe(9);
    });

    test("threat-32 is in a devpts of its own: no other program of the sandbox has a name for it", async () => {
      const screen = entry.terminal(BINARY, "sandbox", "connect", SANDBOX);
      await screen.shows(/\$ $/);
      screen.type("tty; echo pid=$$\r");
      await screen.shows(/pid=\d+/);
      expect(screen.text).toContain("/dev/pts/0");
      const pid = /pid=(\d+)/.exec(screen.text)?.[1];
      const seen = await entry.ssh(`ls /dev/pts; cat /dev/pts/0; ls -l /proc/${pid}/fd; echo owned > /proc/${pid}/fd/0; kill -0 ${pid}`);
      expect(seen.stdout).toBe("ptmx\n");
      screen.type("exit\r");
      await screen.exited();
      expect(screen.text).not.toContain("owned");
    });

    test("threat-32 a window that is closed ends what ran in it", async () => {
      const screen = entry.terminal("ssh", "-F", entry.config, "-tt", HOST);
      await screen.shows(/\$ $/);
      screen.type("exec sleep 98765\r");
      const found = async (): Promise<boolean> =>
        readdirSync("/proc").some((pid) => /^\d+$/.test(pid) && commandLine(pid) === "sleep\x0098765\0");
      await eventually("the program", 20_000, async () => (await found()) || undefined);
      screen.close();
      await eventually("its end", 20_000, async () => !(await found()) || undefined);
    });
  });

  describe("refused", () => {
    test("threat-32 agent forwarding, X11 forwarding and variables of the client", async () => {
      const ran = await entry.run([
        "ssh",
        "-F",
        entry.config,
        "-o",
        "ForwardAgent=yes",
        "-o",
        "ForwardX11=yes",
        "-o",
        "SetEnv=LD_PRELOAD=/tmp/evil.so FOO=bar",
        HOST,
        'echo "[$SSH_AUTH_SOCK][$DISPLAY][$LD_PRELOAD][$FOO]"',
      ]);
      expect(ran.stdout).toBe("[][][][]\n");
    });

    test("case-99 connections anywhere but the sandbox's own loopback, Unix sockets, and listening for it", async () => {
      for (const target of ["10.200.0.1:3128", "10.0.0.1:80", "169.254.169.254:80", "example.com:80", "0.0.0.0:80"]) {
        const ran = await entry.run(["ssh", "-F", entry.config, "-W", target, HOST]);
        expect([target, ran.exitCode]).toEqual([target, 255]);
      }
      const reverse = await entry.run([
        "ssh",
        "-F",
        entry.config,
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        "0:127.0.0.1:1",
        HOST,
        "echo in",
      ]);
      expect([reverse.exitCode, reverse.stdout]).toEqual([255, ""]);
    });

    test("other users", async () => {
      expect((await entry.run(["ssh", "-F", entry.config, "-l", "root", HOST, "id"])).exitCode).toBe(255);
    });

    test("a subsystem that is not there", async () => {
      expect((await entry.run(["ssh", "-F", entry.config, "-s", HOST, "netconf"])).exitCode).not.toBe(0);
    });

    test("a connection that ends with a session in which nothing was started harms nobody", async () => {
      const screen = entry.terminal("ssh", "-F", entry.config, "-o", "SessionType=subsystem", HOST, "nothing");
      await screen.exited();
      const idle = Bun.spawn(["ssh", "-F", entry.config, "-N", HOST], {
        env: entry.gateway.env,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      await entry.inside("true");
      idle.kill("SIGKILL");
      await idle.exited;
      expect(await entry.inside("echo alive")).toBe("alive");
    });

    test("a token that was made up, and a sandbox that is not there", async () => {
      const forged = await entry.cli("ssh-proxy", "--name", SANDBOX, "--token", "made-up");
      expect([forged.exitCode, forged.stderr]).toEqual([1, expect.stringContaining("session token is not valid")]);
      expect((await entry.cli("sandbox", "connect", "nobody")).stderr).toContain("not found");
    });
  });

  describe("files", () => {
    test("case-98 sftp: there and back, listed, renamed, linked and removed", async () => {
      const bytes = randomBytes(100_000);
      put("sent", bytes);
      const batch = [
        "put sent there",
        "ls -l",
        "rename there moved",
        "symlink moved link",
        "get link back",
        "mkdir d",
        "rmdir d",
        "rm link",
        "rm moved",
        "ls",
      ];
      const ran = await entry.run(["sftp", "-q", "-b", "-", "-F", entry.config, HOST], `${batch.join("\n")}\n`);
      expect([ran.exitCode, ran.stderr]).toEqual([0, ""]);
      expect(ran.stdout).toContain("100000");
      expect(digest(readFileSync(join(entry.files, "back")))).toBe(digest(bytes));
    });

    test("sftp sees what the sandbox's user sees, and no more", async () => {
      for (const path of ["/root", "/etc/shadow", "/var/lib/openshell", entry.gateway.directory]) {
        const ran = await entry.run(["sftp", "-q", "-b", "-", "-F", entry.config, HOST], `get -r ${path} stolen\n`);
        expect([path, ran.exitCode]).toEqual([path, 1]);
        expect(existsSync(join(entry.files, "stolen"))).toBe(false);
      }
      const owner = await entry.run(["sftp", "-q", "-b", "-", "-F", entry.config, HOST], `put ${put("mine", "x")} mine\n`);
      expect(owner.exitCode).toBe(0);
      expect(await entry.inside("stat -c %U mine; rm mine")).toBe("sandbox");
    });

    for (const [name, flags] of [
      ["by sftp", []],
      ["the old way", ["-O"]],
    ] as const) {
      test(`scp ${name}: 20 MB there and back`, async () => {
        const bytes = randomBytes(20_000_000);
        put("big", bytes);
        await entry.must("scp", ...flags, "-q", "-F", entry.config, "big", `${HOST}:big`);
        expect(await entry.inside("sha256sum < big")).toBe(`${digest(bytes)}  -`);
        await entry.must("scp", ...flags, "-q", "-F", entry.config, `${HOST}:big`, "returned");
        expect(digest(readFileSync(join(entry.files, "returned")))).toBe(digest(bytes));
        await entry.inside("rm big");
      }, 60_000);
    }

    test.skipIf(Bun.which("rsync") === null)("rsync: a tree, and again only what changed", async () => {
      const tree = join(entry.files, "tree");
      mkdirSync(tree);
      for (let index = 0; index < 50; index += 1) writeFileSync(join(tree, `f${index}`), `${index}`);
      const rsync = (): Promise<string> => entry.must("rsync", "-ai", "-e", `ssh -F ${entry.config}`, "tree/", `${HOST}:tree/`);
      expect((await rsync()).split("\n").filter((line) => line.startsWith("<f"))).toHaveLength(50);
      writeFileSync(join(tree, "f7"), "changed");
      expect((await rsync()).split("\n").filter((line) => line.startsWith("<f"))).toHaveLength(1);
      expect(await entry.inside("ls tree | wc -l; cat tree/f7; rm -r tree")).toBe("50\nchanged");
    });

    test("upload leaves out what is ignored, and names where it went; download brings it back", async () => {
      const project = join(entry.files, "project");
      mkdirSync(join(project, "src"), { recursive: true });
      mkdirSync(join(project, "node_modules/x"), { recursive: true });
      mkdirSync(join(project, ".git"));
      writeFileSync(join(project, ".gitignore"), "node_modules\n");
      writeFileSync(join(project, "src/a b.txt"), "content");
      writeFileSync(join(project, "node_modules/x/y"), "");
      writeFileSync(join(project, "run.sh"), "#!/bin/sh\n");
      chmodSync(join(project, "run.sh"), 0o755);
      symlinkSync("src/a b.txt", join(project, "link"));
      expect((await entry.cli("sandbox", "upload", SANDBOX, "project")).stdout).toContain("to /sandbox/project");
      expect(await entry.inside("cd project && find . ! -type d | sort && cat link")).toBe(
        "./.gitignore\n./link\n./run.sh\n./src/a b.txt\ncontent",
      );
      const down = await entry.cli("sandbox", "download", SANDBOX, "project", "copy");
      expect(down.exitCode).toBe(0);
      expect(down.stderr).toContain("Changed programs");
      expect(readFileSync(join(entry.files, "copy/link"), "utf8")).toBe("content");
      expect((await entry.cli("sandbox", "download", SANDBOX, "project/src/a b.txt", "one")).exitCode).toBe(0);
      expect(readFileSync(join(entry.files, "one"), "utf8")).toBe("content");
    });

    test("threat-15 what an agent plants does not get out of a download, and is listed", async () => {
      await entry.inside(
        "mkdir -p trap/.git/hooks trap/.vscode && cd trap && ln -s /etc etc && ln -s ../../.. up && mkfifo pipe && echo x > .git/hooks/pre-commit && echo '{}' > .vscode/tasks.json && echo x > .envrc && chmod 4755 .envrc && printf x > \"$(printf 'a\\033[31mb')\"",
      );
      const ran = await entry.cli("sandbox", "download", SANDBOX, "trap", "trapped");
      expect(ran.exitCode).toBe(0);
      for (const left of ["left out etc", "left out up", "left out pipe"]) expect(ran.stderr).toContain(left);
      for (const listed of [".git/hooks/pre-commit", ".vscode/tasks.json", ".envrc"]) expect(ran.stderr).toContain(listed);
      expect(ran.stderr + ran.stdout).not.toContain("\x1b");
      expect(lstatSync(join(entry.files, "trapped/.envrc")).mode & 0o7777).toBe(0o755);
      expect(existsSync(join(entry.files, "trapped/etc"))).toBe(false);
    });
  });

  describe("forwards", () => {
    const server = `perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(Listen=>50,LocalAddr=>"127.0.0.1",LocalPort=>PORT,ReuseAddr=>1) or die; while($c=$s->accept){ if(!fork){ local $/; $in=<$c>; print $c "got ".length($in)." "; print $c substr($in,0,20); exit } close $c }'`;
    const serve = async (port: number): Promise<void> => {
      await entry.inside(`setsid ${server.replace("PORT", String(port))} >/dev/null 2>&1 < /dev/null &`);
      await eventually("the service", 20_000, async () =>
        (await entry.inside(`grep -c :${port.toString(16).toUpperCase().padStart(4, "0")} /proc/net/tcp || true`)) !== "0"
          ? true
          : undefined,
      );
    };
    const talk = async (port: number, bytes: Uint8Array): Promise<string> => {
      const answer = Promise.withResolvers<string>();
      let text = "";
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port,
        allowHalfOpen: true,
        socket: {
          data: (_, data) => {
            text += data.toString();
          },
          drain: () => send(),
          end: () => answer.resolve(text),
          close: () => answer.resolve(text),
          error: (_, error) => answer.reject(error),
        },
      });
      let at = 0;
      const send = (): void => {
        while (at < bytes.length) {
          const count = socket.write(bytes.subarray(at));
          if (count <= 0) return;
          at += count;
        }
        socket.shutdown();
      };
      send();
      return answer.promise;
    };

    test("case-99 ssh -W and -L reach a service on the sandbox's loopback", async () => {
      await serve(7001);
      const ran = await entry.run(["ssh", "-F", entry.config, "-W", "localhost:7001", HOST], "hello");
      expect(ran.stdout).toBe("got 5 hello");
    });

    test("forward start -d, list and stop; each end of a connection is passed on", async () => {
      await serve(7002);
      const started = await entry.cli("forward", "start", SANDBOX, "7002:0", "-d");
      expect([started.exitCode, started.stderr]).toEqual([0, ""]);
      const port = Number(/:(\d+) is port 7002/.exec(started.stdout)?.[1]);
      const bytes = randomBytes(3_000_000);
      expect(await talk(port, bytes)).toStartWith(`got ${bytes.length} `);
      const many = await Promise.all(Array.from({ length: 8 }, (_, index) => talk(port, Buffer.from(`n${index}`))));
      expect(many).toEqual(Array.from({ length: 8 }, (_, index) => `got 2 n${index}`));
      const list = JSON.parse((await entry.cli("forward", "list", "-o", "json")).stdout);
      expect(list).toMatchObject([{ sandbox: SANDBOX, local_port: port, port: 7002 }]);
      expect((await entry.cli("forward", "stop", String(port))).exitCode).toBe(0);
      expect(await (await entry.cli("forward", "list")).stdout).toContain("No forwards");
      await eventually("the end of the listener", 20_000, async () =>
        (await talk(port, Buffer.from("x")).catch(() => "refused")) === "refused" ? true : undefined,
      );
    }, 60_000);

    test("a port that is taken, and a sandbox that is not there, say so", async () => {
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const busy = await entry.cli("forward", "start", SANDBOX, `7002:${taken.port}`, "-d");
      expect([busy.exitCode, busy.stderr]).toEqual([1, expect.stringContaining("is in use")]);
      taken.stop(true);
      expect((await entry.cli("forward", "start", "7002", "nobody")).exitCode).toBe(1);
    });
  });

  describe("the main process", () => {
    test(
      "shows the last of its output to whoever looks, its exit code too",
      async () => {
        const script = 'echo out; echo err >&2; read line; echo "[$line]"; exit 4';
        const created = await entry.cli("sandbox", "create", "--name", "main", "--", "sh", "-c", script);
        expect([created.exitCode, created.stdout]).toEqual([4, "out\n[]\n"]);
        await eventually("its end", 20_000, async () =>
          /Exit code:\s+4/.test((await entry.cli("sandbox", "get", "main")).stdout) ? true : undefined,
        );
        const ran = await entry.cli("sandbox", "connect", "main", "--main");
        expect(ran).toEqual({ exitCode: 4, stdout: "out\n[]\n", stderr: "err\n" });
      },
      START_TIME,
    );

    test(
      "~. leaves it running, as with ssh",
      async () => {
        const first = entry.terminal(BINARY, "sandbox", "create", "--name", "tilde", "--", "bash", "--norc");
        await first.shows(/\$ $/);
        first.type("mark=here\r");
        await first.shows(/mark=here\r\n.*\$ $/s);
        first.type("\r~.");
        expect(await first.exited()).toBe(255);
        expect(first.text).toContain("Left 'tilde', where it goes on");
        const second = entry.terminal(BINARY, "sandbox", "connect", "tilde", "--main");
        await second.shows(/mark=here/);
        second.type("echo $mark; exit 5\r");
        expect(await second.exited()).toBe(5);
        expect(second.text).toMatch(/\rhere\r\n/);
      },
      START_TIME,
    );

    test(
      "with a terminal: joined by create, left, and joined again",
      async () => {
        const first = entry.terminal(BINARY, "sandbox", "create", "--name", "shell", "--", "bash", "--norc");
        await first.shows(/\$ $/);
        first.type("mark=kept; stty size\r");
        await first.shows(/30 100/);
        first.close();
        const second = entry.terminal(BINARY, "sandbox", "connect", "shell", "--main");
        await second.shows(/mark=kept/);
        second.type("echo $mark; exit 6\r");
        expect(await second.exited()).toBe(6);
        expect(second.text).toMatch(/\rkept\r\n/);
      },
      START_TIME,
    );
  });

  test(
    "what is open ends with the sandbox",
    async () => {
      await entry.must(BINARY, "sandbox", "create", "--name", "gone");
      const config = join(entry.gateway.directory, "gone.conf");
      writeFileSync(config, await entry.must(BINARY, "sandbox", "ssh-config", "gone"));
      const screen = entry.terminal("ssh", "-F", config, "-tt", "openshell-gone");
      await screen.shows(/\$ $/);
      await entry.must(BINARY, "sandbox", "delete", "gone");
      expect(await screen.exited()).toBe(255);
    },
    START_TIME,
  );
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
