/** Entering a sandbox of an ordinary user's gateway, as that user: commands, a shell, files, ports. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { PERL } from "../attacks/arena.ts";
import { eventually } from "../eventually.ts";
import { BINARY, GatewayHost } from "../gateway/host.ts";
import { missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: entering an ordinary user's sandbox: ${missing}`);
const noSsh =
  missing ?? (["ssh", "scp", "sftp"].every((name) => existsSync(`/usr/bin/${name}`)) ? undefined : "OpenSSH's client is needed");
if (missing === undefined && noSsh !== undefined) console.log(`skipped: ssh into an ordinary user's sandbox: ${noSsh}`);

const ECHO = `use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt $s, SOL_SOCKET, SO_REUSEADDR, 1; bind($s, pack_sockaddr_in(8080, inet_aton("127.0.0.1"))) or die; listen $s, 5; $| = 1; print "listening\\n"; while (accept my $c, $s) { my $line = <$c>; syswrite $c, "seen $line"; close $c }`;

describe.skipIf(missing !== undefined)("entering an ordinary user's sandbox", () => {
  let host: GatewayHost;
  let workspace: string;
  beforeAll(async () => {
    host = await GatewayHost.open(USER);
    await host.start();
    expect(await host.cli("sandbox", "create", "--name", "mine")).toMatchObject({ code: 0 });
    workspace = join(host.sandboxesDirectory, host.sandboxDirectories()[0] ?? "", "workspace");
  }, 60_000);
  afterAll(async () => await host?.[Symbol.asyncDispose](), 60_000);
  const exec = (...words: string[]) => host.cli("sandbox", "exec", "-n", "mine", ...words);

  test("exec: streams, input, exit codes, signals, a time limit, a terminal", async () => {
    expect(await exec("--", "/bin/sh", "-c", "id -u; echo no >&2; exit 3")).toMatchObject({ code: 3, out: `${USER}\n`, err: "no\n" });
    expect(await host.fed("fed\n", "sandbox", "exec", "-n", "mine", "--", "cat")).toMatchObject({ code: 0, out: "fed\n" });
    expect((await exec("--", "/bin/sh", "-c", "kill -TERM $$")).code).toBe(143);
    expect((await exec("--timeout", "1", "--", "sleep", "1000")).code).toBe(124);
    const terminal = await exec("--tty", "--", "/bin/sh", "-c", "tty; stty size; stat -c %u $(tty)");
    expect(terminal.out.replaceAll("\r", "")).toMatch(new RegExp(`^/dev/pts/\\d+\n\\d+ \\d+\n${USER}\n$`));
  }, 120_000);

  test("a command's own sandbox: --no-keep", async () => {
    const { code, out } = await host.fed("x\n", "sandbox", "create", "--no-keep", "--", "/bin/sh", "-c", "cat; exit 4");
    expect([code, out]).toEqual([4, "x\n"]);
  }, 60_000);

  test("upload and download keep what is in files, whose they are, and no path of the sandbox leads out of the destination", async () => {
    const source = join(host.directory, "project");
    mkdirSync(join(source, "src"), { recursive: true });
    writeFileSync(join(source, "src/main.c"), "int main;\n", { mode: 0o755 });
    for (const path of [source, join(source, "src"), join(source, "src/main.c")]) chownSync(path, USER, USER);
    expect(await host.cli("sandbox", "upload", "mine", source, "/sandbox")).toMatchObject({ code: 0 });
    const seen = await exec("--", "/bin/sh", "-c", "cd /sandbox/project; stat -c '%u %a %n' src/main.c; ls -A; echo made > src/made");
    expect(seen.out).toBe(`${USER} 755 src/main.c\nsrc\n`);
    expect(lstatSync(join(workspace, "project/src/made")).uid).toBe(USER);
    // What the program inside planted, among it a way out.
    symlinkSync("/etc", join(workspace, "project/out"));
    const back = join(host.directory, "back");
    mkdirSync(back);
    chownSync(back, USER, USER);
    const downloaded = await host.cli("sandbox", "download", "mine", "/sandbox/project", back);
    expect(readFileSync(join(back, "project/src/made"), "utf8")).toBe("made\n");
    expect(lstatSync(join(back, "project/src/made")).uid).toBe(USER);
    expect(readdirSync(join(back, "project/src")).sort()).toEqual(["made", "main.c"]);
    const link = lstatSync(join(back, "project/out"), { throwIfNoEntry: false });
    expect(link === undefined || link.isSymbolicLink()).toBe(true);
    expect(downloaded.code === 0 || downloaded.err.includes("out")).toBe(true);
  }, 120_000);

  test("forward: a port of the sandbox on this machine, while it runs and not afterwards", async () => {
    const server = host.spawn("sandbox", "exec", "-n", "mine", "--", PERL, "-e", ECHO);
    const { value } = await server.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("listening\n");
    expect(await host.cli("forward", "start", "mine", "8080:0", "-d")).toMatchObject({ code: 0 });
    const listed = await host.cli("forward", "list", "-o", "json");
    const [{ local_port: port = 0 } = {}] = JSON.parse(listed.out) as { local_port?: number }[];
    expect(await ask(port, "hello\n")).toBe("seen hello\n");
    expect(await host.cli("forward", "stop", String(port))).toMatchObject({ code: 0 });
    await eventually("a closed port", 10_000, async () => (await ask(port, "x\n").catch(() => undefined)) === undefined || undefined);
    server.kill();
    await server.exited;
  }, 300_000);

  // ssh does not run as a number without a name, which is what this user may be here: what is tested is the user's sandbox and gateway.
  test.skipIf(noSsh !== undefined)(
    "a shell, and ssh, scp and sftp with the configuration that is made for them",
    async () => {
      const client = async (input: string, ...cmd: string[]) => {
        const child = Bun.spawn({ cmd, cwd: "/", env: host.env, stdin: new Blob([input]), stdout: "pipe", stderr: "pipe" });
        const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
        return { code, out, err };
      };
      expect(await client("id -u; pwd; exit 9\n", BINARY, "sandbox", "connect", "mine")).toMatchObject({
        code: 9,
        out: `${USER}\n/sandbox\n`,
      });
      const config = join(host.directory, "ssh-config");
      writeFileSync(config, (await client("", BINARY, "sandbox", "ssh-config", "mine")).out);
      const name = /^Host (\S+)/m.exec(readFileSync(config, "utf8"))?.[1] ?? "";
      expect(await client("", "ssh", "-F", config, name, "id -u; exit 3")).toMatchObject({ code: 3, out: `${USER}\n` });
      expect(await client("", "scp", "-F", config, "/etc/hostname", `${name}:copied`)).toMatchObject({ code: 0 });
      expect(lstatSync(join(workspace, "copied")).uid).toBe(USER);
      expect((await client("ls /sandbox/copied\n", "sftp", "-F", config, "-b", "-", name)).out).toContain("/sandbox/copied");
      // No file of another user is within reach.
      expect((await client("", "ssh", "-F", config, name, "cat /etc/shadow")).code).not.toBe(0);
    },
    120_000,
  );
});

/** Sends a line to a port of this machine and answers what comes back; rejects when nobody listens. */
function ask(port: number, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.end(line));
    socket.on("data", (piece) => {
      text += piece.toString();
    });
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}
