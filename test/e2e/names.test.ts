/** Questions for names from inside, byte by byte: who is answered, by whom, with what; and that nobody outside is ever asked. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { BINARY, Installation, missingBinary } from "./installation.ts";

const PERL = "/usr/bin/perl";
const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(PERL) ? undefined : `${PERL} is not installed`);
if (missing !== undefined) console.log(`skipped: questions for names: ${missing}`);

/** `question` writes one, `udp` and `tcp` ask a server and print the answer in hexadecimal, or what else happened. */
const TOOLS = `use IO::Socket::IP; use Socket ":all"; use Time::HiRes "time"; $| = 1;
sub name { join("", map { pack("C/a*", $_) } split /\\./, $_[0]) . "\\0" }
sub question { my ($name, $type, $flags) = @_; pack("n6", 4660, $flags // 256, 1, 0, 0, 0) . name($name) . pack("n2", $type // 1, 1) }
sub answered { my ($s, $seconds) = @_; my $ready = ""; vec($ready, fileno $s, 1) = 1; select($ready, undef, undef, $seconds) }
sub udp { my ($server, $message, %more) = @_; my $wait = delete $more{wait}; my $s = IO::Socket::IP->new(PeerHost => $server, PeerPort => 53, Proto => "udp", %more) or return print "$!\\n";
  syswrite $s, $message; my $text; print "silence\\n" and return unless answered($s, $wait // 20);
  print sysread($s, $text, 4096) ? unpack("H*", $text) : $!, "\\n" }
sub tcp { my ($server, $bytes) = @_; my $s = IO::Socket::IP->new(PeerHost => $server, PeerPort => 53) or return print "$!\\n"; syswrite $s, $bytes;
  $s->shutdown(1); my $all = ""; while (sysread $s, my $text, 4096) { $all .= $text } print unpack("H*", $all), "\\n" }
`;

describe.skipIf(missing !== undefined)("questions for names", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net, "names");
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  /** Runs a script under a policy without network; nothing of it may be seen outside. */
  async function ask(script: string): Promise<{ readonly lines: readonly string[]; readonly log: string }> {
    const before = (await net.seenWhenQuiet()).packets;
    const flags = ["--policy", shell.policy("closed", "version: 1\n"), "--sandbox-name", "box"];
    const { exitCode, stdout, stderr } = await net.runOnHost([BINARY, "sandbox", "run", ...flags, "--", PERL, "-e", TOOLS + script]);
    expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect((await net.seen()).packets).toEqual(before);
    return { lines: stdout.trim().split("\n"), log: stderr };
  }

  const header = (flags: string, answers = 1) => `1234${flags}0001000${answers}00000000`;
  const word = (name: string) =>
    `${name
      .split(".")
      .map((label) => Buffer.from([label.length, ...Buffer.from(label)]).toString("hex"))
      .join("")}00`;
  const record = (type: string, data: string) => `c00c${type}000100000005${(data.length / 2).toString(16).padStart(4, "0")}${data}`;

  test("whatever server is asked answers, over UDP and TCP, IPv4 and IPv6, in the question's own case", async () => {
    const servers = ["10.200.0.1", "8.8.8.8", "127.0.0.53", "2001:4860:4860::8888", "fd00::1"].filter((server) => server !== "127.0.0.53");
    const calls = servers.map(
      (server) => `udp("${server}", question("aPi.Example.com")); tcp("${server}", pack("n/a*", question("aPi.Example.com")));`,
    );
    const { lines, log } = await ask(
      `${calls.join("\n")} udp("8.8.8.8", question("API.example.com", 28)); udp("8.8.8.8", question("api.example.com", 65));`,
    );
    const first = `${header("8180")}${word("aPi.Example.com")}00010001${record("0001", "c6120004")}`;
    const expected = servers.flatMap(() => [first, `${(first.length / 2).toString(16).padStart(4, "0")}${first}`]);
    expect(lines).toEqual([
      ...expected,
      `${header("8180")}${word("API.example.com")}001c0001${record("001c", "20010002000000000000000000000004")}`,
      `${header("8180", 0)}${word("api.example.com")}00410001`,
    ]);
    expect(log).not.toContain("/udp");
  });

  test("several questions on one connection are answered in order, and nonsense ends it", async () => {
    const { lines } = await ask(
      `tcp("9.9.9.9", join "", map { pack("n/a*", question("$_.example")) } "a" .. "c"); tcp("9.9.9.9", "\\xff\\xff" . "x" x 100);`,
    );
    expect(lines[0]?.match(/c61200\w\w/g)).toEqual(["c6120004", "c6120005", "c6120006"]);
    expect(lines[1] ?? "").toBe("");
  });

  test("names and addresses belong together in both directions", async () => {
    const { lines } =
      await ask(`print join(" ", map { inet_ntoa(scalar gethostbyname $_) } "a.example", "b.example", "A.EXAMPLE", "localhost", "box"), "\\n";
      print join(" ", map { gethostbyaddr(inet_aton($_), AF_INET) // "none" } "198.18.0.5", "198.18.0.4", "198.18.0.99", "8.8.8.8"), "\\n";`);
    expect(lines).toEqual(["198.18.0.4 198.18.0.5 198.18.0.4 127.0.0.1 10.200.0.2", "b.example a.example none none"]);
  });

  test("what is malformed is complained of, what is no question is not answered", async () => {
    const { lines } = await ask(`my $q = question("a.example");
      udp("8.8.8.8", pack("n6", 4660, 256, 1, 0, 0, 0) . "\\xc0\\x0c" . pack("n2", 1, 1)); udp("8.8.8.8", $q . "x"); udp("8.8.8.8", question("a.example", 1, 10240));
      udp("8.8.8.8", pack("n6", 4660, 256, 2, 0, 0, 0) . name("a.example") . pack("n2", 1, 1)); udp("8.8.8.8", "x", wait => 1);`);
    expect(lines).toEqual([
      "123481810000000000000000",
      "123481810000000000000000",
      "1234a8840000000000000000",
      "123481810000000000000000",
      "silence",
    ]);
  });

  test("threat-26 answers, low ports, forged sources and addresses of many are not answered, and nothing answers itself", async () => {
    const { lines } = await ask(`my $q = question("a.example"); my $answer = question("a.example", 1, 33152);
      udp("8.8.8.8", $answer, wait => 1); udp("8.8.8.8", $q, LocalPort => 53, wait => 1); udp("8.8.8.8", $q, LocalPort => 1023, wait => 1);
      for my $to ("224.0.0.251", "10.200.0.255", "169.254.1.1", "ff02::fb") { udp($to, $q, wait => 1) }
      sub forged { my ($from, $port, $to) = @_; socket(my $s, AF_INET6, SOCK_DGRAM, 0); setsockopt($s, 41, 78, 1); setsockopt($s, 1, 2, 1);
        bind($s, pack_sockaddr_in6($port, inet_pton(AF_INET6, $from))) or die "bind: $!"; send($s, $q, 0, pack_sockaddr_in6(53, inet_pton(AF_INET6, $to))) for 1 .. 1000 }
      forged("2001:db8::1", 53, "2001:4860::8888"); forged("fd00::1", 53, "fd00::1"); forged("2001:db8::1", 5353, "fd00::1");
      udp("8.8.8.8", $q);`);
    expect(lines.slice(0, -1).filter((line) => /^1234/.test(line))).toEqual([]);
    expect(lines.at(-1)).toMatch(/^12348180/);
  });

  test("threat-26 of a flood at most 500 a second are answered, and afterwards everybody is again", async () => {
    const { lines, log } = await ask(`my $q = question("a.example"); socket(my $s, AF_INET, SOCK_DGRAM, 0); my $start = time; my $count = 0;
      my $to = pack_sockaddr_in(53, inet_aton("8.8.8.8")); for (1 .. 40) { send($s, $q, 0, $to) for 1 .. 2000; $count++ while answered($s, 0) && sysread($s, my $x, 999) }
      $count++ while answered($s, 1) && sysread($s, my $x, 999); printf "%d %.3f\\n", $count, time - $start; udp("8.8.8.8", $q);`);
    const [count = 0, seconds = 0] = (lines[0] ?? "").split(" ").map(Number);
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(500 * (seconds + 1));
    expect(lines[1]).toMatch(/^12348180/);
    expect(log).toContain("FINDING:dns-flood");
  });

  test("nobody outside was asked anything", async () => {
    expect((await net.seen()).questions).toEqual([]);
  });
});
