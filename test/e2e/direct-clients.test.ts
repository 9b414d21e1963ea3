/** Programs that know no proxy: they ask for a name, connect, and are decided like everybody else; with the compiled binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { CA } from "../clients/inside.ts";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { GRPC_PORT, SSH_PORT } from "../internet/topology.ts";
import { BINARY, Installation, missingBinary } from "./installation.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: programs that know no proxy: ${missing}`);

const program = (path: string) => (existsSync(path) ? realpathSync(path) : undefined);
const [CURL, WGET, PYTHON, NODE, SSH, PSQL, GIT, PERL] = ["curl", "wget", "python3", "node", "ssh", "psql", "git", "perl"].map((name) =>
  program(`/usr/bin/${name}`),
);
/** psql and git are wrappers and helpers: whoever connects is found by its parents. */
const PROGRAMS = [CURL, WGET, PYTHON, NODE, SSH, PSQL, GIT, PERL, "/usr/lib/git-core/git-remote-http", "/usr/lib/postgresql/**"];

const policy = (hosts = "") => `version: 1
network_policies:
  plain:
    endpoints:
      - { host: cdn.example.net, ports: [80, 443] }
      - { host: ssh.example.com, port: ${SSH_PORT} }
      - { host: grpc.example.com, port: ${GRPC_PORT} }
      - { host: db.example.com, port: 5432 }
      - { host: git.example.com, port: 443 }
      - { host: 93.184.216.34, port: 443 }
${hosts}
    binaries: [${PROGRAMS.filter((path) => path !== undefined)
      .map((path) => `{ path: "${path}" }`)
      .join(", ")}]
  read:
    endpoints: [{ host: api.example.com, ports: [80, 443], protocol: rest, access: read-only, enforcement: enforce }]
    binaries: [${PROGRAMS.filter((path) => path !== undefined)
      .map((path) => `{ path: "${path}" }`)
      .join(", ")}]
`;

/** In front of a command: no variable says that there is a proxy. */
const UNAWARE = [
  "/usr/bin/env",
  ...["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "grpc_proxy", "NODE_USE_ENV_PROXY"].flatMap((name) => [
    "-u",
    name,
  ]),
];

describe.skipIf(missing !== undefined)("programs that know no proxy", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet({ zones: { "db.example.com": ["93.184.216.40"] } });
    shell = new Installation(net, "direct");
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const run = (argv: readonly string[], flags: readonly string[] = []) => {
    const words = ["--policy", shell.policy("direct", policy()), "--upstream-ca", net.caFile, ...flags];
    return net.runOnHost([BINARY, "sandbox", "run", ...words, "--", ...UNAWARE, ...argv]);
  };
  const requests = async (host: string) => (await net.seen()).requests.filter((request) => request.host === host);
  /** Names that the world was asked for, beside those that policy allows. */
  const questions = async () => new Set((await net.seen()).questions.map(({ name }) => name));

  test.skipIf(CURL === undefined)("curl: TLS and plain text, allowed and denied, each host with one event", async () => {
    const fetch = (url: string, ...more: string[]) => [
      CURL ?? "",
      "-sS",
      "-m",
      "20",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      ...more,
      url,
    ];
    expect((await run(fetch("https://cdn.example.net/c1"))).stdout).toBe("200");
    expect((await run(fetch("http://cdn.example.net/c2"))).stdout).toBe("200");
    expect((await run(fetch("https://cdn.example.net/c3", "-6"))).stdout).toBe("200");
    expect((await run(fetch("https://api.example.com/c4"))).stdout).toBe("200");
    const posted = await run(fetch("https://api.example.com/c5", "-d", "x"));
    expect(posted.stdout).toBe("403");
    expect(posted.stderr).toMatch(/HTTP:POST \[MED\] DENIED .*api\.example\.com/);
    const before = await net.seenWhenQuiet();
    const denied = await run(fetch("https://other.example.com/c6"));
    expect(denied.stdout).toBe("000");
    expect(denied.stderr).toMatch(/NET:OPEN \[MED\] DENIED \/usr\/bin\/curl\(\d+\) -> other\.example\.com:443 /);
    expect(denied.stderr).not.toContain("bypass-detect");
    expect(await net.seenWhenQuiet()).toEqual(before);
    expect((await requests("cdn.example.net")).map(({ scheme, path }) => `${scheme} ${path}`)).toEqual([
      "https /c1",
      "http /c2",
      "https /c3",
    ]);
    expect((await requests("api.example.com")).map(({ path }) => path)).toEqual(["/c4"]);
  });

  test.skipIf(CURL === undefined)("TLS and Host must name the server that was asked for: another name is misdirected", async () => {
    const config = (...words: string[]) => [CURL ?? "", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", ...words];
    expect((await run(config("-H", "Host: other.example.com", "http://cdn.example.net/m1"))).stdout).toBe("421");
    expect((await run(config("-H", "Host: other.example.com", "https://cdn.example.net/m2"))).stdout).toBe("421");
    expect(
      (await run(config("-k", "--connect-to", "other.example.com:443:cdn.example.net:443", "https://other.example.com/m3"))).stdout,
    ).toBe("421");
    // An address means itself: a name in TLS is another authority.
    expect((await run(config("-k", "--resolve", "cdn.example.net:443:93.184.216.34", "https://cdn.example.net/m4"))).stdout).toBe("421");
    expect((await net.seen()).requests.filter(({ path }) => /^\/m\d/.test(path))).toEqual([]);
  });

  test.skipIf(CURL === undefined)("a program that asks for a name itself and then the proxy for its address means the name", async () => {
    const fetch = (
      host: string,
      url: string,
    ) => `proxy=http://10.200.0.1:3128; address=$(getent ahostsv4 ${host} | head -n 1 | cut -d" " -f1); printf %s "$address"
      ${CURL} -sS -m 20 -o /dev/null -w "%{http_code}\\n" -p -x "$proxy" --connect-to "${host}:443:$address:443" ${url} || true`;
    const script = `${fetch("cdn.example.net", "https://cdn.example.net/r1")}; ${fetch("other.example.com", "https://other.example.com/r2")}
      ${CURL} -sS -m 20 -o /dev/null -w "%{http_code}\\n" -x http://10.200.0.1:3128 "http://$(getent ahostsv4 cdn.example.net | head -n 1 | cut -d" " -f1)/r3"`;
    const { stdout, stderr } = await run(["/bin/sh", "-c", script]);
    expect(stdout).toMatch(/^198\.18\.0\.\d+200\n198\.18\.0\.\d+000\n403\n$/);
    expect(stderr).toMatch(/DENIED \/usr\/bin\/curl\(\d+\) -> other\.example\.com:443 /);
    expect(stderr).toContain("stands for cdn.example.net here");
  });

  test.skipIf(WGET === undefined)("wget", async () => {
    expect((await run([WGET ?? "", "-q", `--ca-certificate=${CA}`, "-O", "-", "https://cdn.example.net/w1"])).exitCode).toBe(0);
    expect((await run([WGET ?? "", "-q", "-t", "1", "-O", "-", "https://other.example.com/w2"])).exitCode).not.toBe(0);
    expect((await net.seen()).requests.filter(({ path }) => path.startsWith("/w")).map(({ path }) => path)).toEqual(["/w1"]);
  });

  test.skipIf(PYTHON === undefined)("Python without proxies", async () => {
    const script = `
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url in sys.argv[1:]:
    try: print(opener.open(url, timeout=20).status)
    except Exception as error: print(getattr(error, "code", "refused"))`;
    const urls = ["https://cdn.example.net/p1", "http://api.example.com/p2", "https://other.example.com/p3"];
    expect((await run([PYTHON ?? "", "-c", script, ...urls])).stdout).toBe("200\n200\nrefused\n");
    expect((await net.seen()).requests.filter(({ path }) => path.startsWith("/p")).map(({ path }) => path)).toEqual(["/p1", "/p2"]);
  });

  test.skipIf(NODE === undefined)("Node's fetch", async () => {
    const script = `
const get = async (url, init) => { try { return String((await fetch(url, init)).status); } catch (error) { return "refused " + error.cause?.code; } };
(async () => { console.log(await get("https://cdn.example.net/n1"), await get("https://api.example.com/n2"), await get("https://api.example.com/n2", { method: "POST" }),
  await get("https://other.example.com/n3")); })();`;
    const { stdout } = await run([NODE ?? "", "-e", script]);
    expect(stdout.trim()).toMatch(/^200 200 403 refused E?CONNRE\w+$/);
    expect((await net.seen()).requests.filter(({ path }) => path.startsWith("/n")).map(({ path }) => path)).toEqual(["/n1", "/n2"]);
  });

  test.skipIf(NODE === undefined)("ws and grpc-js, which know the proxy only if told", async () => {
    const modules = ["--mount", `${join(import.meta.dir, "../../node_modules")}:/node_modules`];
    const script = `
const { WebSocket } = require("/node_modules/ws"); const { Client, credentials } = require("/node_modules/@grpc/grpc-js");
const talk = (url) => new Promise((resolve) => { const socket = new WebSocket(url); socket.on("error", (error) => resolve(error.code ?? error.message));
  socket.on("open", () => socket.send("hello")); socket.on("message", (text) => { resolve(String(text)); socket.close(); }); });
const call = (address) => new Promise((resolve) => { const client = new Client(address, credentials.createInsecure());
  client.makeUnaryRequest("/test.Echo/Say", (text) => Buffer.from(text), String, "hello", { deadline: Date.now() + 20000 },
    (error, answer) => { resolve(error ? error.code : answer); client.close(); }); });
(async () => { for (const answer of [await talk("wss://cdn.example.net/s1"), await talk("wss://other.example.com/s2"), await call("grpc.example.com:${GRPC_PORT}"),
  await call("other.example.com:${GRPC_PORT}")]) console.log(answer); })();`;
    const { stdout, stderr } = await run([NODE ?? "", "-e", script], modules);
    const [message, refused, answer, code] = stdout.split("\n");
    expect({ message, answer, code, stderr: message === undefined ? stderr : "" }).toMatchObject({
      message: expect.stringContaining("hello"),
      answer: "hello",
      code: "14",
    });
    expect(refused).toMatch(/ECONNRE/);
    const seen = (await net.seen()).requests.filter(({ path }) => /^\/s\d|Say$/.test(path)).map(({ method, path }) => `${method} ${path}`);
    expect(seen).toContain("UPGRADE /s1");
    expect(seen.filter((line) => line.includes("/s2"))).toEqual([]);
  });

  test.skipIf(SSH === undefined)("ssh", async () => {
    const connect = (host: string) => [
      ...[SSH ?? "", "-v", "-p", String(SSH_PORT), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=20"],
      host,
    ];
    expect((await run(connect("ssh.example.com"))).stderr).toContain("TestInternet");
    const refused = await run(connect("git.example.com"));
    expect(refused.stderr).not.toContain("TestInternet");
    expect(refused.stderr).toMatch(new RegExp(`DENIED \\S*ssh\\(\\d+\\) -> git\\.example\\.com:${SSH_PORT} `));
  });

  test.skipIf(PSQL === undefined)("psql: what is no HTTP goes by the name that its address stands for", async () => {
    const connect = (host: string) => [
      "/usr/bin/psql",
      `host=${host} user=x dbname=x sslmode=disable connect_timeout=20`,
      "-c",
      "select 1",
    ];
    const reached = await run(connect("db.example.com"));
    expect((await net.seen()).connections).toContainEqual({ address: "93.184.216.40", port: 5432 });
    expect(reached.stderr).toMatch(/ALLOWED \S+\(\d+\) -> db\.example\.com:5432 /);
    expect((await run(connect("cdn.example.net"))).stderr).toMatch(/DENIED \S+\(\d+\) -> cdn\.example\.net:5432 /);
  });

  test.skipIf(GIT === undefined)("git over https", async () => {
    const listed = await run([GIT ?? "", "ls-remote", "https://git.example.com/none.git"]);
    expect((await requests("git.example.com")).map(({ path }) => path.split("?")[0])).toContain("/none.git/info/refs");
    expect(listed.exitCode).not.toBe(0);
    expect((await run([GIT ?? "", "ls-remote", "https://other.example.com/none.git"])).stderr).toContain("-> other.example.com:443");
    expect(await requests("other.example.com")).toEqual([]);
  });

  test("names that policy does not allow were never asked of anybody, and those that it allows were asked by us alone", async () => {
    const asked = await questions();
    for (const name of asked)
      expect(["cdn.example.net", "api.example.com", "ssh.example.com", "grpc.example.com", "db.example.com", "git.example.com"]).toContain(
        name,
      );
    const script = `for my $name (map { "n$_.secret.example" } 1 .. 50) { gethostbyname($name) or die $name } print "done\\n"`;
    const before = (await net.seenWhenQuiet()).packets;
    expect((await run([PERL ?? "", "-e", script])).stdout).toBe("done\n");
    expect((await net.seen()).packets).toEqual(before);
  });

  test("a denied name is proposed with its host, port and program, and approved it works at once", async () => {
    await shell.startGateway("--upstream-ca", net.caFile);
    await shell.create("known", policy());
    const fetch = (...more: string[]) =>
      shell.exec("known", ...UNAWARE, CURL ?? "", "-sS", "-m", "20", ...more, "https://other.example.com/d1");
    expect((await fetch()).exitCode).not.toBe(0);
    const chunk = await shell.waitForDraft("known", "other.example.com");
    expect(chunk.proposed_rule.endpoints[0]).toMatchObject({ host: "other.example.com", ports: [443] });
    expect(chunk.proposed_rule.binaries.map(({ path }) => path)).toEqual([CURL ?? ""]);
    await shell.must("sandbox", "draft", "approve", "known", chunk.id, "--wait", "--yes");
    expect((await fetch()).exitCode).toBe(0);
    await eventually("the request", 10_000, async () => (await requests("other.example.com"))[0]);
  });
});
