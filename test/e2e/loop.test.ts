/** The product's promise on real sockets: denied, proposed, approved, allowed; with the compiled binary in the test internet. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";
import { allowed, other } from "./programs.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: the loop in the test internet: ${missing}`);

const POLICY = `version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /proc, /dev/urandom, /etc, /var/log]
  read_write: [/sandbox, /tmp, /dev/null]
landlock: { compatibility: best_effort }
network_policies:
  example_api:
    endpoints:
      - { host: api.example.com, ports: [80, 443] }
      - { host: internal.example.com, port: 80 }
      - { host: metadata.example.com, port: 80 }
      - { host: mixed.example.com, port: 80 }
    binaries: [{ path: ${allowed.path} }]
`;

describe.skipIf(missing !== undefined)("the loop", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("loop", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  /** Runs a program in the sandbox and tells what arrived in the internet meanwhile. */
  async function attempt(
    argv: string[],
    sandbox = "loop",
  ): Promise<{ exitCode: number; output: string; packets: number; questions: string[] }> {
    const before = await net.seenWhenQuiet();
    const { exitCode, stdout, stderr } = await shell.exec(sandbox, ...argv);
    const after = await net.seen();
    return {
      exitCode,
      output: stdout + stderr,
      packets: after.packets.tcp - before.packets.tcp,
      questions: after.questions.slice(before.questions.length).map(({ name }) => name),
    };
  }

  async function refused(argv: string[], sandbox = "loop"): Promise<string> {
    const { exitCode, output, packets, questions } = await attempt(argv, sandbox);
    expect({ refused: exitCode !== 0, packets, questions, output }).toEqual({ refused: true, packets: 0, questions: [], output });
    return output;
  }

  test("the allowed program reaches the allowed host, over HTTP and HTTPS", async () => {
    const plain = await attempt(allowed.fetch("http://api.example.com/hello"));
    expect(plain).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(plain.output)).toMatchObject({ method: "GET", path: "/hello", host: "api.example.com", address: "93.184.216.34" });
    if (allowed.name === "curl") {
      const secure = await attempt(allowed.fetch("https://api.example.com/secure"));
      expect(JSON.parse(secure.output)).toMatchObject({ scheme: "https", path: "/secure", address: "93.184.216.34", port: 443 });
    }
  });

  test("another host is refused, its name is never asked and no packet leaves", async () => {
    expect(await refused(allowed.fetch("http://other.example.com/"))).toContain("other.example.com");
    await refused(allowed.fetch("https://other.example.com/"));
  });

  test("threat-29 a denied name is not asked even when nobody knows it", async () => {
    await refused(allowed.fetch("http://secret-data.exfiltration.example/"));
  });

  test("another port is refused", async () => {
    await refused(allowed.fetch("http://api.example.com:8080/"));
  });

  test("another program is refused", async () => {
    await refused(other.fetch("http://api.example.com/"));
  });

  test("the other program is refused for what it is: named by the policy, it passes and the first does not", async () => {
    const swapped = shell.policy("swapped", POLICY.replace(allowed.path, other.path));
    await shell.must("policy", "set", "loop", "--policy", swapped, "--wait");
    expect(await attempt(other.fetch("http://api.example.com/"))).toMatchObject({ exitCode: 0 });
    await refused(allowed.fetch("http://api.example.com/"));
    await shell.must("policy", "set", "loop", "--policy", shell.policy("loop", POLICY), "--wait");
  });

  test("a direct connection that ignores the proxy goes nowhere, IPv4 and IPv6", async () => {
    // In a sandbox of its own: what is proposed for these must not take the room of what the tests below wait for.
    await shell.create("direct", POLICY);
    for (const program of [allowed, other]) {
      await refused(program.dial("93.184.216.34", 80), "direct");
      await refused(program.dial("2606:2800::1", 80), "direct");
      await refused(program.dial("10.1.2.3", 80), "direct");
      await refused(program.dial("198.51.100.53", 53), "direct");
      if (program.path.startsWith("/sandbox/")) continue;
      expect(await net.runOnHost(program.dial("93.184.216.34", 80))).toMatchObject({ exitCode: 0 }); // it does arrive from outside the box
    }
  });

  test("metadata addresses are refused, as an address and behind an allowed name", async () => {
    await refused(allowed.fetch("http://169.254.169.254/latest/meta-data/"));
    await refused(allowed.fetch("http://100.100.100.200/"));
    const named = await attempt(allowed.fetch("http://metadata.example.com/"));
    expect(named).toMatchObject({ packets: 0 });
    expect(named.exitCode).not.toBe(0);
    await refused(allowed.dial("169.254.169.254", 80));
    await refused(allowed.dial("169.254.169.254", 3128));
  });

  test("a private address behind an allowed name needs allowed_ips, and one bad address spoils the answer", async () => {
    for (const name of ["internal.example.com", "mixed.example.com"]) {
      const { exitCode, packets } = await attempt(allowed.fetch(`http://${name}/`));
      expect({ name, refused: exitCode !== 0, packets }).toEqual({ name, refused: true, packets: 0 });
    }
  });

  test("UDP goes nowhere", async () => {
    const code =
      'use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => "8.8.8.8", PeerPort => 53, Proto => "udp"); print $s "x" if $s';
    const send = ["/usr/bin/perl", "-e", code];
    const udp = async () => (await net.seen()).packets.udp;
    const before = await udp();
    await shell.exec("loop", ...send);
    expect(await udp()).toBe(before);
    await net.runOnHost(send); // the same from outside the box does arrive
    expect(await udp()).toBeGreaterThan(before);
  });

  test("exec carries input, output and the exit code", async () => {
    const answer = await shell.cli(["sandbox", "exec", "-n", "loop", "--", "/bin/sh", "-c", "cat; echo problem >&2; exit 7"], {
      stdin: "typed\n",
    });
    expect(answer).toEqual({ exitCode: 7, stdout: "typed\n", stderr: "problem\n" });
  });

  test("denied → proposed → approved → allowed for that program alone → undone → denied", async () => {
    await refused(allowed.fetch("http://cdn.example.net/file"));
    const chunk = await shell.waitForDraft("loop", "cdn.example.net");
    expect(chunk.proposed_rule.binaries.map(({ path }) => path)).toEqual([allowed.path]);

    await shell.must("sandbox", "draft", "approve", "loop", chunk.id, "--wait", "--yes");
    const approved = await attempt(allowed.fetch("http://cdn.example.net/file"));
    expect(approved).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(approved.output)).toMatchObject({ path: "/file", address: "151.101.1.10" });
    await refused(other.fetch("http://cdn.example.net/file"));
    await refused(allowed.fetch("http://cdn.example.net:8080/file"));

    await shell.must("sandbox", "draft", "undo", "loop", chunk.id, "--wait");
    await refused(allowed.fetch("http://cdn.example.net/file"));
  });

  test("a rejected proposal changes nothing", async () => {
    await refused(allowed.fetch("http://other.example.com:8000/"));
    const chunk = await shell.waitForDraft("loop", "other.example.com");
    await shell.must("sandbox", "draft", "reject", "loop", chunk.id, "--reason", "not needed");
    await refused(allowed.fetch("http://other.example.com:8000/"));
    expect(await shell.must("sandbox", "draft", "history", "loop")).toContain("not needed");
  });

  test("policy set is enforced when it returns, and a bad policy changes nothing", async () => {
    const wider = POLICY.replace("host: api.example.com,", "host: other.example.com,");
    await shell.must("policy", "set", "loop", "--policy", shell.policy("wider", wider), "--wait");
    expect(await attempt(allowed.fetch("http://other.example.com/"))).toMatchObject({ exitCode: 0 });
    await refused(allowed.fetch("http://api.example.com/"));
    const bad = await shell.cli([
      "policy",
      "set",
      "loop",
      "--policy",
      shell.policy("bad", wider.replace("port: 80", "port: 80000")),
      "--wait",
    ]);
    expect(bad).toMatchObject({ exitCode: 2 });
    expect(await attempt(allowed.fetch("http://other.example.com/"))).toMatchObject({ exitCode: 0 });
    await shell.must("policy", "set", "loop", "--policy", shell.policy("back", POLICY), "--wait");
  });

  test("a bad, reserved or taken sandbox name is refused with the reason", async () => {
    for (const [name, exitCode, reason] of [
      ["Upper", 2, "name"],
      ["a_b", 2, "name"],
      ["x".repeat(64), 2, "63"],
      ["approve", 2, "word of the command line"],
      ["loop", 1, "exists"],
    ] as const) {
      const answer = await shell.cli(["sandbox", "create", "--name", name]);
      expect({ name, exitCode: answer.exitCode, stderr: answer.stderr }).toEqual({
        name,
        exitCode,
        stderr: expect.stringContaining(reason),
      });
    }
  });

  test("status, list, get and logs answer", async () => {
    expect(await shell.must("status")).toContain("17670");
    expect(await shell.must("sandbox", "list")).toContain("loop");
    expect(await shell.must("sandbox", "get", "loop")).toContain("loop");
    expect(await shell.must("policy", "get", "loop")).toContain("api.example.com");
    expect(await shell.must("logs", "loop")).toContain("other.example.com");
  });
});
