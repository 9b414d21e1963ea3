/** Requests inside TLS are decided: with the compiled binary, real programs, and servers that count what reaches them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync } from "node:fs";
import { eventually } from "../eventually.ts";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { Installation, missingBinary } from "./installation.ts";

const CURL = "/usr/bin/curl";
const PROGRAMS = [CURL, "/usr/bin/python3", "/usr/bin/node"].filter((path) => existsSync(path));

const missing = missingForTestInternet() ?? missingBinary() ?? (existsSync(CURL) ? undefined : `${CURL} is not installed`);
if (missing !== undefined) console.log(`skipped: inspected requests: ${missing}`);

const policy = (access: string) => `version: 1
network_policies:
  api:
    endpoints:
      - { host: api.example.com, ports: [80, 443], protocol: rest, access: ${access}, enforcement: enforce }
      - { host: other.example.com, port: 443, protocol: rest, access: read-only, enforcement: audit }
      - { host: cdn.example.net, port: 443 }
      - { host: skipped.example.com, port: 443, tls: skip }
    binaries: [${PROGRAMS.map((path) => `{ path: ${realpathSync(path)} }`).join(", ")}]
`;

const PYTHON = `
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[2], method=sys.argv[1])
try: print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error: print(error.code)`;

/** Keep-alive over one CONNECT tunnel, with nothing but Node's own trust. */
const NODE = `
const [method, target] = process.argv.slice(1);
const url = new URL(target), proxy = new URL(process.env.https_proxy);
require("node:http").request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: url.hostname + ":443", headers: { host: url.host } })
  .on("connect", (_, socket) => {
    const agent = { createConnection: () => require("node:tls").connect({ socket, servername: url.hostname }) };
    require("node:https").request(target, { method, headers: { host: url.host }, ...agent }, (answer) => { console.log(answer.statusCode); process.exit(0); }).end();
  }).end();`;

describe.skipIf(missing !== undefined)("inspected requests", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet({ zones: { "skipped.example.com": ["93.184.216.40"] } });
    shell = new Installation(net);
    await shell.startGateway();
    await shell.create("inspected", policy("read-only"));
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const curl = async (...argv: string[]) => (await shell.exec("inspected", CURL, "-sS", "--max-time", "10", ...argv)).stdout;
  const arrived = async (since: number) => (await net.seenWhenQuiet()).requests.slice(since).map(({ method, path }) => `${method} ${path}`);
  const logged = (pattern: RegExp) =>
    eventually(`a log line like ${pattern}`, 5000, async () => {
      const log = await shell.must("logs", "inspected");
      return pattern.test(log) ? log : undefined;
    });
  const count = async () => (await net.seenWhenQuiet()).requests.length;

  test("case-56 case-61 reading passes; writing is a 403 that says why, and no packet leaves for it", async () => {
    expect(JSON.parse(await curl("https://api.example.com/repos"))).toMatchObject({ method: "GET", path: "/repos", scheme: "https" });
    const before = await net.seenWhenQuiet();
    const refused = JSON.parse(await curl("-d", "x=1", "https://api.example.com/repos?token=secret"));
    expect(refused).toMatchObject({
      error: "policy_denied",
      layer: "l7",
      method: "POST",
      path: "/repos",
      host: "api.example.com",
      port: 443,
      binary: realpathSync(CURL),
      policy: "api",
      rule_missing: { type: "rest_allow", method: "POST", path: "/repos" },
    });
    const after = await net.seenWhenQuiet();
    expect({ packets: after.packets.tcp, requests: after.requests.length }).toEqual({
      packets: before.packets.tcp,
      requests: before.requests.length,
    });
    expect(await logged(/HTTP:POST.*DENIED.*api\.example\.com/)).not.toContain("secret");
  });

  test("absolute-form over plain HTTP is decided alike", async () => {
    const since = await count();
    expect(await curl("http://api.example.com/plain")).toContain("/plain");
    expect(JSON.parse(await curl("-X", "DELETE", "http://api.example.com/plain"))).toMatchObject({ error: "policy_denied", layer: "l7" });
    expect(await arrived(since)).toEqual(["GET /plain"]);
  });

  test("case-60 Python and Node trust the sandbox's authority by its variables alone", async () => {
    for (const [path, code] of [
      ["/usr/bin/python3", PYTHON],
      ["/usr/bin/node", NODE],
    ] as const) {
      if (!existsSync(path)) continue;
      const flag = path.endsWith("python3") ? "-c" : "-e";
      const status = async (method: string) =>
        (await shell.exec("inspected", path, flag, code, method, "https://api.example.com/x")).stdout.trim();
      expect([path, await status("GET"), await status("PUT")]).toEqual([path, "200", "403"]);
    }
  });

  test("case-58 under audit a write passes and is logged", async () => {
    const since = await count();
    await curl("-X", "PUT", "https://other.example.com/audited");
    expect(await arrived(since)).toEqual(["PUT /audited"]);
    await logged(/HTTP:PUT.*ALLOWED.*other\.example\.com\/audited.*not permitted/);
  });

  test("hosts without request rules are ended and passed on; under tls: skip the server's own certificate is seen", async () => {
    expect(await curl("-X", "POST", "https://cdn.example.net/any")).toContain("/any");
    const issuer = async (host: string) => {
      const { stderr } = await shell.exec("inspected", CURL, "-sv", "-k", "-o", "/dev/null", `https://${host}/`);
      return /issuer: (.*)/.exec(stderr)?.[1];
    };
    expect(await issuer("cdn.example.net")).toContain("OpenShell Sandbox CA");
    expect(await issuer("skipped.example.com")).toContain("Test internet CA");
  });

  test("threat-23 another name in TLS or in Host than in CONNECT leads nowhere", async () => {
    const since = await count();
    const to = (host: string) => ["--connect-to", `${host}:443:api.example.com:443`, "-k", `https://${host}/hidden`];
    expect(JSON.parse(await curl(...to("evil.example.com")))).toMatchObject({
      error: "bad_request",
      detail: expect.stringContaining("another server"),
    });
    expect(await curl("-H", "Host: evil.example.com", "https://api.example.com/hidden")).toContain("names another server");
    const skipped = await shell.exec(
      "inspected",
      CURL,
      "-sSk",
      "--connect-to",
      "evil.example.com:443:skipped.example.com:443",
      "https://evil.example.com/",
    );
    expect(skipped.exitCode).not.toBe(0);
    expect(await arrived(since)).toEqual([]);
  });

  test("case-73 an open connection is decided by the new policy from its next request on", async () => {
    const script = `exec 2>&1; for i in 1 2 3 4 5 6 7 8 9 10; do echo "url=https://api.example.com/turn-$i"; done > urls; ${CURL} -sS -o /dev/null -w "%{http_code}:%{num_connects}\\n" --rate 2/s -X PUT -K urls`;
    const running = shell.exec("inspected", "/bin/sh", "-c", script);
    await logged(/DENIED PUT .*turn-1/);
    await shell.must("policy", "set", "inspected", "--policy", shell.policy("wider", policy("read-write")), "--wait");
    const { stdout } = await running;
    expect(stdout).toContain("403:");
    expect(stdout.trim()).toEndWith("200:0");
    await shell.must("policy", "set", "inspected", "--policy", shell.policy("narrow", policy("read-only")), "--wait");
    expect(await curl("-X", "PUT", "https://api.example.com/after")).toContain("policy_denied");
  });

  test("a refused request is told of where proposals are made", async () => {
    expect(await curl("-X", "PATCH", "https://api.example.com/proposed")).toContain("openshell sandbox draft");
    await shell.waitForDraft("inspected", "api.example.com", 60_000);
  }, 120_000);

  test("without its authority a server is not trusted, and the agent is told", async () => {
    const answer = await shell.cli(
      ["sandbox", "run", "--policy", shell.policy("run", policy("full")), "--", CURL, "-sS", "https://api.example.com/"],
      { env: { OPENSHELL_UPSTREAM_CA: "" } },
    );
    expect(JSON.parse(answer.stdout)).toMatchObject({ error: "upstream_unreachable", detail: expect.stringContaining("certificate") });
    const bad = await shell.cli(["sandbox", "run", "--upstream-ca", "/nonexistent.pem", "--", "/bin/true"]);
    expect(bad).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("--upstream-ca") });
  });
});
