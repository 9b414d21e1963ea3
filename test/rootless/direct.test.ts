/** Programs that know no proxy, where the kernel lets nobody steer every port to one socket: names, ports of the policy, and a reload. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PERL } from "../attacks/arena.ts";
import { BINARY } from "../e2e/installation.ts";
import { openTestInternet, type TestInternet } from "../internet/open.ts";
import { as, missingForRootless, USER } from "./user.ts";

const missing = missingForRootless();
if (missing !== undefined) console.log(`skipped: direct connections of an ordinary user's sandbox: ${missing}`);

const policy = (ports: string) => `version: 1
network_policies:
  own:
    endpoints: [{ host: api.example.com, ports: [${ports}] }, { host: ssh.example.com, port: 22 }]
    binaries: [{ path: ${PERL} }]
`;

/** Connects and prints what became of it. */
const DIAL = `use IO::Socket::IP; $SIG{PIPE} = "IGNORE"; $| = 1;
sub dial { my ($host, $port) = @_; my $text = ""; my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 20) or return "none: $!";
  syswrite $s, "GET /direct HTTP/1.0\\r\\nHost: $host:$port\\r\\n\\r\\n"; sysread($s, $text, 65536) ? "answered" : "reset" }`;

describe.skipIf(missing !== undefined)("direct connections of an ordinary user's sandbox", () => {
  let net: TestInternet;
  let home: string;
  beforeAll(async () => {
    net = await openTestInternet();
    chmodSync(net.directory, 0o755);
    home = join(net.directory, "user");
    mkdirSync(home);
    chownSync(home, USER, USER);
  });
  afterAll(() => net?.[Symbol.asyncDispose]());

  const file = (name: string, text: string) => {
    const path = join(home, name);
    writeFileSync(path, text);
    chownSync(path, USER, USER);
    return path;
  };
  const start = (path: string, script: string) =>
    net.spawnOnHost([...as(USER), BINARY, "sandbox", "run", "--policy", path, "--", PERL, "-e", DIAL + script], {
      env: { XDG_RUNTIME_DIR: home },
    });

  test("names are answered, ports of the policy are decided by program, and others are refused at once and seen", async () => {
    const path = file("policy.yaml", policy("80"));
    const program = await start(
      path,
      `print join("\\n", map { dial(@$_) } ["api.example.com", 80], ["other.example.com", 80], ["ssh.example.com", 22], ["api.example.com", 8080]), "\\n"; sleep 4;`,
    );
    const { stdout, stderr } = await program.exited;
    expect(stderr).toContain("direct-connections: requested every TCP port, enforced the policy's ports");
    expect(stdout.split("\n").slice(0, 4)).toEqual([
      "answered",
      expect.stringMatching(/^(reset|none: Connection reset by peer)$/),
      "answered",
      expect.stringMatching(/^none: /),
    ]);
    expect(stderr).toMatch(/ALLOWED \S*perl\S*\(\d+\) -> api\.example\.com:80 /);
    expect(stderr).toMatch(/DENIED \S*perl\S*\(\d+\) -> other\.example\.com:80 /);
    expect(stderr).toMatch(/DENIED - -> api\.example\.com:8080 /);
    expect((await net.seen()).questions.map(({ name }) => name)).not.toContain("other.example.com");
  });

  test("a policy that comes into force brings its ports", async () => {
    const path = file("reloaded.yaml", policy("80"));
    const program = await start(
      path,
      `print dial("api.example.com", 8080), "\\n"; print "now\\n"; my $end = time + 40; my $last; do { select undef, undef, undef, 0.1; $last = dial("api.example.com", 8080) } until $last eq "answered" or time > $end; print "$last\\n"`,
    );
    await program.waitForOutput(/now/);
    file("reloaded.yaml", policy("80, 8080"));
    const { stdout } = await program.exited;
    expect(stdout).toMatch(/^none: .*\nnow\nanswered\n$/);
  });
});
