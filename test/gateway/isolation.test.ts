/** Two sandboxes of one gateway: what the second finds of the first, looked at from inside. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { OpenShell } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";

const PERL = "/usr/bin/perl";
const SETPRIV = "/usr/bin/setpriv";
const missing = missingForGateway() ?? (existsSync(PERL) && existsSync(SETPRIV) ? undefined : `${PERL} and ${SETPRIV} are needed`);
if (missing !== undefined) console.log(`skipped: two sandboxes of one gateway: ${missing}`);
const mayRootless =
  missing === undefined &&
  Bun.spawnSync([SETPRIV, "--reuid=1001", "--regid=1001", "--clear-groups", "/usr/bin/unshare", "--user", "--net", "true"]).success;
if (!mayRootless)
  console.log("skipped: two sandboxes of an ordinary user's gateway: this kernel lets an ordinary user make no user namespace");

const MARK = "mark-of-the-first-8651";
const PORT = 8651;
const ABSTRACT = "openshell-first";
/** The first sandbox: a listener on every address, one on an abstract name, one in /tmp, shared memory, a queue file, a line in every place it may write. */
const FIRST = `use Socket; $| = 1;
socket(my $t, PF_INET, SOCK_STREAM, 0); setsockopt $t, SOL_SOCKET, SO_REUSEADDR, 1; bind $t, pack_sockaddr_in(${PORT}, INADDR_ANY) or die "tcp $!"; listen $t, 9;
socket(my $a, PF_UNIX, SOCK_STREAM, 0); bind $a, pack("Sa*", AF_UNIX, "\\0${ABSTRACT}") or die "abstract $!"; listen $a, 9;
socket(my $u, PF_UNIX, SOCK_STREAM, 0); bind $u, pack_sockaddr_un("/tmp/first.sock") or die "unix $!"; listen $u, 9;
for my $f ("/sandbox/secret", "/tmp/secret", "/dev/shm/secret") { open my $o, ">", $f or die "$f $!"; print $o "${MARK}\\n" }
my $id = shmget(0x8651, 4096, 0600 | 01000); print "shm ", defined $id ? "ok" : "$!", "\\n";
print "ready ${MARK}\\n"; open my $r, ">", "/sandbox/ready"; close $r;
while (1) { sleep 1; open my $o, ">>", "/sandbox/alive"; print $o "x" }`;

describe.each([
  ["root's gateway", 0],
  ["an ordinary user's gateway", 1001],
])("two sandboxes of %s", (_, uid) => {
  describe.skipIf(missing !== undefined || (uid !== 0 && !mayRootless))("", () => {
    let host: GatewayHost;
    let first: string;
    let second: string;
    beforeAll(async () => {
      host = await GatewayHost.open(uid);
      await host.start();
      const create = async (name: string, ...command: string[]) => {
        const { code, out, err } = await host.cli("sandbox", "create", "--name", name, "--detach", "-o", "json", ...command);
        if (code !== 0) throw new Error(err);
        return (JSON.parse(out) as { id: string }).id;
      };
      first = await create("first", "--env", `SECRET=${MARK}`, "--", PERL, "-e", FIRST);
      second = await create("second");
      const ready = join(host.sandboxesDirectory, first, "workspace/ready");
      await eventually(
        "the first program",
        60_000,
        async () => existsSync(ready) || undefined,
        async () => host.diagnosis(),
      );
    });
    afterAll(() => host?.[Symbol.asyncDispose]());

    const inside = async (name: string, script: string) => (await host.cli("sandbox", "exec", "-n", name, "--", PERL, "-e", script)).out;
    const shell = (script: string) => host.cli("sandbox", "exec", "-n", "second", "--", "/bin/sh", "-c", script);
    /** None before the first second of its life. */
    const beats = () => {
      const file = join(host.sandboxesDirectory, first, "workspace/alive");
      return existsSync(file) ? readFileSync(file, "utf8").length : 0;
    };

    test("the control: from inside the first everything is there", async () => {
      const dial = `use Socket; socket(my $t, PF_INET, SOCK_STREAM, 0); print connect($t, pack_sockaddr_in(${PORT}, inet_aton("127.0.0.1"))) ? "tcp " : "$! "; socket(my $u, PF_UNIX, SOCK_STREAM, 0); print connect($u, pack_sockaddr_un("/tmp/first.sock")) ? "named" : $!`;
      expect(await inside("first", dial)).toBe("tcp named");
      expect((await host.cli("sandbox", "exec", "-n", "first", "--", "cat", "/proc/net/unix")).out).toContain(ABSTRACT);
      const { out } = await host.cli(
        "sandbox",
        "exec",
        "-n",
        "first",
        "--",
        "/bin/sh",
        "-c",
        "cat /sandbox/secret /tmp/secret /dev/shm/secret",
      );
      expect(out).toBe(`${MARK}\n`.repeat(3));
    });

    test("no process of it: not in /proc, not by number, not by a signal to everybody", async () => {
      const { out } = await shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '");
      expect(out).not.toContain(MARK);
      expect(out).not.toContain(first);
      const before = beats();
      const killed = await inside(
        "second",
        "my $n = 0; for my $p (2 .. 40000) { next if $p == $$; $n++ if kill 9, $p } kill 9, -1; print $n",
      );
      expect(Number(killed)).toBeLessThan(20);
      await eventually("the first goes on", 60_000, async () => beats() > before || undefined);
    });

    test("no file of it: workspace, temporary files, shared memory, its log, and paths of the host", async () => {
      const { out, code } = await shell(
        `ls -a /sandbox /tmp /dev/shm /var/log /run 2>&1; cat /sandbox/secret /tmp/secret /dev/shm/secret ${host.sandboxesDirectory}/${first}/workspace/secret 2>&1; grep -rs ${MARK.slice(0, -2)}'51' /sandbox /tmp /dev/shm /var /run /etc; cat /proc/self/mountinfo /proc/self/mounts`,
      );
      expect(code).toBe(0);
      expect(out).toContain("No such file or directory");
      expect(out).not.toContain(MARK);
      expect(out).not.toContain("first.sock");
      expect(out.replaceAll(`${host.sandboxesDirectory}/${first}/workspace/secret`, "")).not.toContain(first);
    });

    test("no socket of it: its ports, its abstract and its named sockets, and none of them by the proxy", async () => {
      const dial = `use Socket; my @out;
for my $to ("127.0.0.1", "10.200.0.1", "10.200.0.2", "0.0.0.0", "127.0.0.2") { socket(my $t, PF_INET, SOCK_STREAM, 0); my $r = connect($t, pack_sockaddr_in(${PORT}, inet_aton($to))) ? do { my $b; syswrite $t, "x\\n"; my $n = sysread($t, $b, 9); $n ? "answered" : "closed" } : "refused"; push @out, "$to $r" }
socket(my $a, PF_UNIX, SOCK_STREAM, 0); push @out, connect($a, pack("Sa*", AF_UNIX, "\\0${ABSTRACT}")) ? "abstract" : "no abstract";
socket(my $u, PF_UNIX, SOCK_STREAM, 0); push @out, connect($u, pack_sockaddr_un("/tmp/first.sock")) ? "named" : "no named";
for my $to ("127.0.0.1", "10.200.0.2", "localhost") { socket(my $p, PF_INET, SOCK_STREAM, 0); connect $p, pack_sockaddr_in(3128, inet_aton("10.200.0.1")); syswrite $p, "CONNECT $to:${PORT} HTTP/1.1\\r\\nHost: $to:${PORT}\\r\\n\\r\\n"; my $b = ""; sysread $p, $b, 4096; push @out, "proxy $to " . (split " ", $b)[1] }
push @out, defined shmget(0x8651, 4096, 0) ? "shm" : "no shm"; print join "|", @out;`;
      const results = (await inside("second", dial)).split("|");
      expect(results.filter((line) => / answered$|^abstract$|^named$|^shm$|^proxy .* 200$/.test(line))).toEqual([]);
      expect(results).toHaveLength(11);
      expect(results.slice(-1)).toEqual(["no shm"]);
      const tables = await shell("cat /proc/net/tcp /proc/net/tcp6 /proc/net/unix");
      expect(tables.out).not.toContain(PORT.toString(16).toUpperCase());
      expect(tables.out).not.toContain(ABSTRACT);
    });

    test("no token or key: not in a file, not in an environment, and its authority is another", async () => {
      const token = readFileSync(join(host.sandboxesDirectory, second, "run/token"), "utf8").trim();
      expect(token.split(".")).toHaveLength(3);
      const { out } = await shell(
        "grep -rIlE 'eyJ[A-Za-z0-9_-]{16,}[.]eyJ' /sandbox /tmp /dev/shm /var /run /etc 2>/dev/null; grep -rIl 'PRIVATE KEY' /sandbox /tmp /dev/shm /var /run /etc 2>/dev/null; cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -E 'eyJ|TOKEN' ; echo end",
      );
      expect(out).toBe("end\n");
      const authority = (name: string) =>
        host.cli("sandbox", "exec", "-n", name, "--", "/bin/sh", "-c", "cat /etc/openshell-tls/*.pem /etc/openshell-tls/*.crt 2>/dev/null");
      const certificates = async (name: string) => new Set((await authority(name)).out.split("-----BEGIN CERTIFICATE-----"));
      const [mine, its] = [await certificates("second"), await certificates("first")];
      expect(mine.difference(its).size).toBeGreaterThan(0);
      expect(its.difference(mine).size).toBeGreaterThan(0);
    });

    test("its own supervisor's token opens nothing of the other: configuration, logs, drafts, life", async () => {
      const token = readFileSync(join(host.sandboxesDirectory, second, "run/token"), "utf8").trim();
      const ca = readFileSync(join(host.directory, "config/openshell/gateways/openshell/mtls/ca.crt"));
      const bearer: Interceptor = (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      };
      const client = createClient(
        OpenShell,
        createGrpcTransport({ baseUrl: host.endpoint, nodeOptions: { ca, rejectUnauthorized: true }, interceptors: [bearer] }),
      );
      const codeOf = (call: Promise<unknown>) =>
        call.then(
          () => "answered",
          (error) => Code[ConnectError.from(error).code],
        );
      const outcomes = {
        configuration: await codeOf(client.getSandboxConfig({ workspaceScope, name: "first" })),
        providers: await codeOf(client.getSandboxProviderEnvironment({ sandboxId: first })),
        drafts: await codeOf(client.getDraftPolicy({ workspaceScope, sandbox: "first" })),
        sandbox: await codeOf(client.getSandbox({ workspaceScope, name: "first" })),
        exit: await codeOf(client.reportMainProcessExit({ sandboxId: first, exitCode: 0 })),
        list: await codeOf(client.listSandboxes({ workspaceScope })),
        remove: await codeOf(client.deleteSandbox({ workspaceScope, name: "first" })),
        exec: await codeOf(Array.fromAsync(client.execSandbox({ workspaceScope, sandbox: "first", command: ["/bin/true"] }))),
      };
      expect(outcomes).toEqual(Object.fromEntries(Object.keys(outcomes).map((name) => [name, "PermissionDenied"])) as typeof outcomes);
    });

    test("the second's end is not the first's", async () => {
      const before = beats();
      expect((await host.cli("sandbox", "delete", "second")).code).toBe(0);
      await eventually("the first goes on", 60_000, async () => beats() > before || undefined);
      expect((await host.cli("sandbox", "exec", "-n", "first", "--", "/bin/echo", "alive")).out).toBe("alive\n");
    });
  });
});
