/** Programs that ignore the proxy: decided like all others, refused at once, named in events and proposals; with the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: programs that ignore the proxy: ${missing}`);

const PERL = "/usr/bin/perl";
const HINT = "ensure the process honors HTTP_PROXY/HTTPS_PROXY; for Node.js set NODE_USE_ENV_PROXY=1";
/** Where the policy of `open` leads: a literal address of each family, and a network without any host name. */
const OPEN = `
  literal:
    endpoints:
      - { host: 93.184.216.34, ports: [22, 80] }
      - { host: "2606:2800::1", port: 80 }
      - { allowed_ips: [10.1.0.0/16], port: 8000 }
    binaries: [{ path: ${PERL} }]
`;

function policy(network: string): string {
  return `version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /proc, /dev/urandom, /etc, /var/log]
  read_write: [/sandbox, /tmp, /dev/null]
landlock: { compatibility: best_effort }
network_policies: ${network === "" ? "{}" : network}`;
}

/** A direct connection that asks for a page; prints what became of it and how many seconds that took. */
const DIAL = `use IO::Socket::IP; use Time::HiRes "time"; $SIG{PIPE} = "IGNORE";
sub dial { my ($host, $port) = @_; my $start = time; my $text = "";
  my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 5);
  my $end = $s && syswrite($s, "GET /direct HTTP/1.0\\r\\n\\r\\n") && sysread($s, $text, 65536) ? "answered" : "refused";
  printf "%s %d %s %.3f\\n", $host, $port, $end, time - $start; }`;

describe.skipIf(missing !== undefined)("programs that ignore the proxy", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net, "bypass");
    await shell.startGateway();
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const perl = async (sandbox: string, script: string, ...args: string[]) => {
    const { exitCode, stdout, stderr } = await shell.exec(sandbox, PERL, "-e", script, ...args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return stdout.trim().split("\n");
  };

  /** Direct connections to each destination; what became of them, and the longest time one took. */
  async function dial(sandbox: string, destinations: readonly (readonly [string, number])[]) {
    const calls = destinations.map(([host, port]) => `dial("${host}", ${port});`).join(" ");
    const rows = (await perl(sandbox, `${DIAL} ${calls}`)).map((line) => line.split(" "));
    return { ends: rows.map(([host, port, end]) => `${host} ${port} ${end}`), seconds: Math.max(...rows.map((row) => Number(row[3]))) };
  }

  /** Every line that the only sandbox with this name has logged. */
  function log(sandbox: string): string[] {
    const id = ids.get(sandbox);
    const folder = shell.sandboxDirectories().find((path) => path.endsWith(id ?? "none")) ?? "";
    const files = readdirSync(join(folder, "log")).filter((name) => name.startsWith("openshell."));
    return files.flatMap((name) =>
      readFileSync(join(folder, "log", name), "utf8")
        .trim()
        .split("\n"),
    );
  }
  const ids = new Map<string, string>();

  async function create(name: string, network = ""): Promise<void> {
    const before = shell.sandboxDirectories();
    await shell.create(name, policy(network));
    const made = shell.sandboxDirectories().filter((path) => !before.includes(path));
    expect(made).toHaveLength(1);
    ids.set(name, made[0]!.split("/").at(-1)!);
  }

  const logged = (sandbox: string, text: string) =>
    eventually(
      `a line with ${text}`,
      10_000,
      async () => log(sandbox).find((line) => line.includes(text)),
      async () => log(sandbox).join("\n"),
    );

  test("case-93 direct connections end within a second, reach nothing, and each is an event with its program", async () => {
    await create("closed");
    const destinations = ["93.184.216.34", "2606:2800::1"].flatMap((host) =>
      [22, 80, 443, 5432, 6379].map((port) => [host, port] as const),
    );
    const before = await net.seenWhenQuiet();
    const { ends, seconds } = await dial("closed", destinations);
    expect(ends).toEqual(destinations.map(([host, port]) => `${host} ${port} refused`));
    // A time-out would be five seconds; a second is what an idle machine needs a hundredth of.
    expect(seconds).toBeLessThan(4);
    expect((await net.seen()).packets).toEqual(before.packets);
    for (const [host, port] of destinations) {
      const to = `-> ${host.includes(":") ? `[${host}]` : host}:${port} `;
      const line = await logged("closed", to);
      expect(line).toMatch(/NET:REFUSE \[MED\] DENIED \/usr\/bin\/perl\S*\(\d+\)/);
      expect(line).toContain(HINT);
      expect(log("closed").filter((other) => other.includes(to))).toHaveLength(1);
    }
    expect(await logged("closed", "FINDING:bypass-detect")).toMatch(
      /"Proxy Bypass Detected" \[dst_addr:\S+ dst_port:22 proto:tcp binary:\/usr\/bin\/perl/,
    );
  });

  test("case-93 a refused direct connection is proposed; approved, it passes for that program and destination alone", async () => {
    await create("proposed");
    expect((await dial("proposed", [["93.184.216.34", 80]])).ends).toEqual(["93.184.216.34 80 refused"]);
    const chunk = await shell.waitForDraft("proposed", "93.184.216.34");
    expect(chunk.proposed_rule.binaries).toHaveLength(1);
    expect(chunk.proposed_rule.binaries[0]?.path).toStartWith(PERL);
    expect(chunk.proposed_rule.endpoints[0]?.ports).toEqual([80]);
    await shell.must("sandbox", "draft", "approve", "proposed", chunk.id, "--wait", "--yes");
    const { ends } = await dial("proposed", [
      ["93.184.216.34", 80],
      ["93.184.216.34", 8080],
      ["93.184.216.35", 80],
    ]);
    expect(ends).toEqual(["93.184.216.34 80 answered", "93.184.216.34 8080 refused", "93.184.216.35 80 refused"]);
    await shell.must("sandbox", "draft", "undo", "proposed", chunk.id, "--wait");
    expect((await dial("proposed", [["93.184.216.34", 80]])).ends).toEqual(["93.184.216.34 80 refused"]);
  });

  test("policy by literal address and by network alone: the connection passes, IPv4 and IPv6, and one event says so", async () => {
    await create("open", OPEN);
    const wanted = [
      ["93.184.216.34", 80],
      ["2606:2800::1", 80],
      ["10.1.2.3", 8000],
      ["10.2.2.3", 8000],
      ["93.184.216.34", 443],
    ] as const;
    const { ends } = await dial("open", wanted);
    expect(ends.map((line) => line.split(" ").at(-1))).toEqual(["answered", "answered", "answered", "refused", "refused"]);
    expect((await net.seen()).requests.filter(({ path }) => path === "/direct").map(({ address }) => address)).toContain("2606:2800::1");
    for (const to of ["93.184.216.34:80", "[2606:2800::1]:80", "10.1.2.3:8000"])
      expect(await logged("open", `-> ${to} `)).toMatch(/NET:OPEN \[INFO\] ALLOWED .* \[policy:literal engine:opa\]/);
  });

  test("a captured connection is a clean pipe: early bytes, half-close and a megabyte both ways", async () => {
    const script = `use IO::Socket::IP; use Digest::MD5 "md5_hex"; my $s = IO::Socket::IP->new(PeerHost => "93.184.216.34", PeerPort => 22) or die;
      my $sent = join "", map { pack "N", $_ * 2654435761 % 4294967296 } 1 .. 262144; my $got = "";
      if (fork == 0) { print {*$s} $sent; $s->shutdown(1); exit } while (sysread $s, my $part, 65536) { $got .= $part }
      print length $got, " ", md5_hex($got) eq md5_hex($sent) ? "same" : "different", "\\n";`;
    expect(await perl("open", script)).toEqual(["1048576 same"]);
  });

  test("a policy change ends an open direct connection", async () => {
    const script = `use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => "93.184.216.34", PeerPort => 22) or die; $| = 1;
      syswrite $s, "x"; sysread $s, my $echo, 1 or die; print "echo $echo\\n"; my $n = sysread $s, $echo, 1; print defined $n ? "end" : "reset", "\\n";`;
    const program = await net.spawnOnHost(
      [join(import.meta.dir, "../../dist/openshell"), "sandbox", "exec", "-n", "open", "--", PERL, "-e", script],
      {
        env: shell.env,
      },
    );
    await program.waitForOutput(/echo x/);
    await shell.must("policy", "set", "open", "--policy", shell.policy("narrow", policy(OPEN.replace("[22, 80]", "[80]"))), "--wait");
    expect((await program.exited).stdout).toContain("reset");
    await shell.must("policy", "set", "open", "--policy", shell.policy("wide", policy(OPEN)), "--wait");
  });

  test("threat-27 the sandbox's own network, link-local and metadata addresses are refused before policy, and never proposed", async () => {
    const everything = `
  wide:
    endpoints:
      - { host: 169.254.169.254, port: 80 }
      - { allowed_ips: [10.0.0.0/8, "fd00::/8"], ports: [22, 80, 3128] }
    binaries: [{ path: ${PERL} }]
`;
    const accepted = await shell.cli(["sandbox", "create", "--name", "wide", "--policy", shell.policy("wide-open", policy(everything))]);
    // A policy that names a metadata address may be refused as a whole already.
    if (accepted.exitCode !== 0) await create("wide", everything.replace("      - { host: 169.254.169.254, port: 80 }\n", ""));
    else
      ids.set(
        "wide",
        shell
          .sandboxDirectories()
          .find((path) => ![...ids.values()].some((id) => path.endsWith(id)))!
          .split("/")
          .at(-1)!,
      );
    const before = await net.seenWhenQuiet();
    const { ends, seconds } = await dial("wide", [
      ["10.200.0.1", 22],
      ["10.200.0.1", 80],
      ["fd00::1", 3128],
      ["169.254.169.254", 80],
      ["169.254.7.7", 22],
    ]);
    expect(ends.map((line) => line.split(" ").at(-1))).toEqual(["refused", "refused", "refused", "refused", "refused"]);
    // A time-out would be five seconds; a second is what an idle machine needs a hundredth of.
    expect(seconds).toBeLessThan(4);
    expect((await net.seen()).packets).toEqual(before.packets);
    for (const to of ["10.200.0.1:22", "10.200.0.1:80", "[fd00::1]:3128", "169.254.169.254:80", "169.254.7.7:22"])
      expect(await logged("wide", `-> ${to} `)).toMatch(/DENIED \/usr\/bin\/perl\S* .* engine:bypass\]/);
    expect(await logged("wide", "to 10.200.0.1:22")).toContain("no rule is proposed");
    expect(await shell.drafts("wide")).toEqual([]);
  });

  test("UDP gives an event with the hint for what it was meant for", async () => {
    await perl(
      "closed",
      `use IO::Socket::IP; IO::Socket::IP->new(PeerHost => "8.8.8.8", PeerPort => 123, Proto => "udp")->send("x");
       IO::Socket::IP->new(PeerHost => "8.8.4.4", PeerPort => 53, LocalPort => 53, Proto => "udp")->send("no question");`,
    );
    expect(await logged("closed", "-> 8.8.4.4:53/udp")).toContain(
      "DNS queries should route through the sandbox proxy; check resolver configuration",
    );
    expect(await logged("closed", "-> 8.8.8.8:123/udp")).toContain("UDP traffic must route through the sandbox proxy");
    expect(await logged("closed", "-> 8.8.8.8:123/udp")).toMatch(/NET:REFUSE \[MED\] DENIED - .* engine:bypass\]/);
  });

  test("threat-26, threat-30 200,000 forged packets are a bounded number of events, and the honest way stays open", async () => {
    const count = () => log("open").filter((line) => line.includes("/udp")).length;
    const start = performance.now();
    const [sent] = await perl(
      "open",
      `use Socket ":all"; my $IPV6_FREEBIND = 78; my $n = 0; my $to = pack_sockaddr_in6(53, inet_pton(AF_INET6, "2001:4860::8888"));
       socket(my $warm, AF_INET6, SOCK_DGRAM, 0); send($warm, "x", 0, $to);
       for my $source (1 .. 100) { socket(my $s, AF_INET6, SOCK_DGRAM, 0); setsockopt($s, 41, $IPV6_FREEBIND, 1) or die "freebind: $!";
         bind($s, pack_sockaddr_in6(53, inet_pton(AF_INET6, "2001:db8::" . $source))) or die "bind: $!";
         for (1 .. 2000) { $n++ if defined send($s, "x", 0, $to) } } print "$n\\n";`,
    );
    expect(Number(sent)).toBeGreaterThan(100_000);
    expect((await dial("open", [["93.184.216.34", 80]])).ends).toEqual(["93.184.216.34 80 answered"]);
    expect(await logged("open", "FINDING:bypass-overflow")).toMatch(/\[tcp:\d+ udp:\d+\]/);
    const seconds = (performance.now() - start) / 1000;
    expect(count()).toBeGreaterThan(0);
    expect(count()).toBeLessThanOrEqual(100 * (seconds + 1));
  });

  test("the agent uses every port of its own namespace", async () => {
    const script = `use IO::Socket::IP; for my $host ("127.0.0.1", "10.200.0.2") { for my $port (53, 80, 443, 3128, 8080) {
      my $l = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Listen => 1, ReuseAddr => 1) or die "$host $port $!";
      if (fork == 0) { my $c = $l->accept; print {*$c} "hello"; exit }
      my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port) or die $!; sysread $s, my $text, 9; print "$host $port $text\\n"; wait } }`;
    const expected = ["127.0.0.1", "10.200.0.2"].flatMap((host) => [53, 80, 443, 3128, 8080].map((port) => `${host} ${port} hello`));
    expect(await perl("closed", script)).toEqual(expected);
  });
});
