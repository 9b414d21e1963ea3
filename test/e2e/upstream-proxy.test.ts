/** A network that is left by a proxy alone: --upstream-proxy with the compiled binary, and proxies that remember what they were asked. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { PROXY_NAME, PROXY_PASSWORD, PROXY_PORTS, PROXY_USER, SSH_PORT } from "../internet/topology.ts";
import { BINARY, Installation, missingBinary } from "./installation.ts";

const CURL = "/usr/bin/curl";
const PERL = "/usr/bin/perl";
const missing =
  missingForTestInternet() ??
  missingBinary() ??
  [CURL, PERL].map((path) => (existsSync(path) ? undefined : `${path} is not installed`)).find(Boolean);
if (missing !== undefined) console.log(`skipped: the proxy of a network: ${missing}`);

const policy = `version: 1
network_policies:
  all:
    endpoints:
      - { host: "*.example.com", ports: [80, 443, ${SSH_PORT}, ${PROXY_PORTS.open}] }
      - { host: outside.example.org, ports: [80, 443] }
      - { host: limited.example.org, port: 443, allowed_ips: [93.184.216.0/24] }
      - { host: localhost, port: 80 }
      - { host: 10.1.2.3, port: 80 }
      - { host: 93.184.216.60, ports: [${Object.values(PROXY_PORTS).join(", ")}] }
    binaries: [{ path: ${realpathSync(CURL)} }, { path: "${PERL}" }]
  rules:
    endpoints: [{ host: inspected.example.org, port: 443, protocol: rest, access: read-only, enforcement: enforce }]
    binaries: [{ path: ${realpathSync(CURL)} }]
`;

describe.skipIf(missing !== undefined)("the proxy of a network", () => {
  let net: TestInternet;
  let shell: Installation;
  let authFile: string;
  const OPEN = `http://${PROXY_NAME}:${PROXY_PORTS.open}`;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net, "proxied");
    authFile = join(shell.directory, "proxy-auth");
    writeFileSync(authFile, `${PROXY_USER}:${PROXY_PASSWORD}\n`, { mode: 0o600 });
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  const run = (flags: readonly string[], ...argv: string[]) => {
    const file = shell.policy("proxied", policy);
    return net.runOnHost([BINARY, "sandbox", "run", "--policy", file, "--upstream-ca", net.caFile, ...flags, "--", ...argv]);
  };
  const fetch = (url: string, ...more: string[]) => [CURL, "-sS", "-m", "30", "-o", "/tmp/answer", "-w", "%{http_code}", ...more, url];
  /** What the proxies were asked since, and what reached servers. */
  async function during<T>(work: () => Promise<T>) {
    const before = await net.seenWhenQuiet();
    const result = await work();
    const after = await net.seenWhenQuiet();
    const asked = after.requests.slice(before.requests.length);
    return {
      result,
      connects: asked.filter(({ method }) => method === "CONNECT").map(({ path }) => path),
      credentials: asked.filter(({ method }) => method === "CONNECT").map(({ host }) => host),
      requests: asked.filter(({ method }) => method !== "CONNECT").map(({ scheme, host, path }) => `${scheme} ${host}${path}`),
      questions: [...new Set(after.questions.slice(before.questions.length).map(({ name }) => name))],
      connections: after.connections.slice(before.connections.length),
    };
  }

  test("everything leaves by CONNECT, by name: TLS and plain HTTP, through the sandbox's proxy and past it; nobody else is asked for names", async () => {
    const { result, connects, requests, questions, credentials } = await during(async () => {
      const answers = [
        await run(["--upstream-proxy", OPEN], ...fetch("https://outside.example.org/u1")),
        await run(["--upstream-proxy", OPEN], ...fetch("http://outside.example.org/u2")),
        await run(["--upstream-proxy", OPEN], ...fetch("https://outside.example.org/u3", "--noproxy", "*")),
        await run(["--upstream-proxy", OPEN], ...fetch("https://api.example.com/u4")),
      ];
      return answers.map(({ stdout }) => stdout);
    });
    expect(result).toEqual(["200", "200", "200", "200"]);
    expect(connects).toEqual(["outside.example.org:443", "outside.example.org:80", "outside.example.org:443", "api.example.com:443"]);
    expect(credentials).toEqual(["", "", "", ""]);
    expect(requests).toEqual([
      "https outside.example.org/u1",
      "http outside.example.org/u2",
      "https outside.example.org/u3",
      "https api.example.com/u4",
    ]);
    expect(questions).toEqual([PROXY_NAME]);
  });

  test("what is no HTTP passes both ways, also where the server speaks first", async () => {
    const script = `use IO::Socket::IP; my $s = IO::Socket::IP->new(PeerHost => "ssh.example.com", PeerPort => ${SSH_PORT}) or die $!; print scalar <$s>`;
    const { result, connects } = await during(() => run(["--upstream-proxy", OPEN], PERL, "-e", script));
    expect(result.stdout).toBe("SSH-2.0-TestInternet\r\n");
    expect(connects).toEqual([`ssh.example.com:${SSH_PORT}`]);
    expect(result.stderr).toMatch(/ALLOWED \/usr\/bin\/perl\S*\(\d+\) -> ssh\.example\.com:/);
  });

  test("credentials come from a file, over TCP and inside TLS; without them the answer says what is missing", async () => {
    for (const url of [`http://${PROXY_NAME}:${PROXY_PORTS.guarded}`, `https://${PROXY_NAME}:${PROXY_PORTS.secure}`]) {
      const flags = ["--upstream-proxy", url, "--upstream-proxy-auth-file", authFile];
      const good = await during(() => run(flags, ...fetch("https://outside.example.org/c1")));
      expect([url, good.result.stdout]).toEqual([url, "200"]);
      expect(good.credentials).toEqual([`Basic ${Buffer.from(`${PROXY_USER}:${PROXY_PASSWORD}`).toString("base64")}`]);
      expect(good.result.stderr).not.toContain(PROXY_PASSWORD);
      const bad = await during(() => run(["--upstream-proxy", url], ...fetch("https://outside.example.org/c2")));
      expect(bad.result.stdout).toBe("000");
      expect(bad.result.stderr).toContain("407 Proxy Authentication Required");
      expect(bad.requests).toEqual([]);
    }
  });

  test("exceptions are dialled directly: domains with all below them, and networks for literal addresses", async () => {
    const flags = ["--upstream-proxy", OPEN, "--upstream-no-proxy", "example.com,10.0.0.0/8"];
    const { result, connects, requests } = await during(async () => [
      (await run(flags, ...fetch("https://api.example.com/n1"))).stdout,
      (await run(flags, ...fetch("http://10.1.2.3/n2"))).stdout,
      (await run(flags, ...fetch("https://outside.example.org/n3"))).stdout,
    ]);
    expect(result).toEqual(["200", "200", "200"]);
    expect(connects).toEqual(["outside.example.org:443"]);
    expect(requests).toEqual(["https api.example.com/n1", "http 10.1.2.3/n2", "https outside.example.org/n3"]);
  });

  test("what the proxy refuses or does not answer is 502 with the reason, and never dialled directly", async () => {
    const cases: [string, string, RegExp][] = [
      [OPEN, "https://forbidden.example.com/f1", /403 Forbidden by \?\[31mcompany policy/],
      [OPEN, "https://missing.example.com/f2", /502 Bad Gateway/],
      [`http://${PROXY_NAME}:3999`, "https://api.example.com/f3", /did not connect/],
      ["http://nowhere.invalid:3128", "https://api.example.com/f4", /did not connect/],
      ["http://api.example.com:80", "https://api.example.com/f5", /did not connect/],
      [`https://${PROXY_NAME}:${PROXY_PORTS.open}`, "https://api.example.com/f6", /did not connect/],
    ];
    for (const [proxy, url, reason] of cases) {
      const { result, requests, connections } = await during(() => run(["--upstream-proxy", proxy], ...fetch(url)));
      expect([url, result.stdout]).toEqual([url, "000"]);
      expect(result.stderr).toContain("curl: (56) ");
      expect(result.stderr).toMatch(/response 502|CONNECT tunnel failed/);
      expect(result.stderr).toMatch(reason);
      expect([url, requests.filter((request) => request.startsWith("https"))]).toEqual([url, []]);
      if (!proxy.includes("api.example.com")) expect(connections).toEqual([]);
    }
  });

  test("rules about requests hold all the same, and a private address needs its permission", async () => {
    const flags = ["--upstream-proxy", OPEN];
    const outcomes = await during(async () => [
      (await run(flags, ...fetch("http://localhost/p1", "--proxy", "http://10.200.0.1:3128", "--noproxy", ""))).stderr,
      (await run(flags, ...fetch("https://limited.example.org/p2"))).stderr,
      (await run(flags, ...fetch(`http://${PROXY_NAME}:${PROXY_PORTS.open}/p3`))).stderr,
      (await run(flags, ...fetch("https://other.example.org/p4"))).stderr,
      (await run(flags, ...fetch("https://inspected.example.org/p5", "-d", "x"))).stderr,
    ]);
    expect(outcomes.result[0]).toContain("engine:ssrf");
    expect(outcomes.result[1]).toContain("allowed_ips");
    expect(outcomes.result[2]).toContain("is the upstream proxy itself");
    expect(outcomes.result[3]).toContain("not allowed by");
    expect(outcomes.result[4]).toContain("HTTP:POST [MED] DENIED");
    expect([outcomes.connects, outcomes.requests, outcomes.questions]).toEqual([[], [], []]);
    expect((await during(() => run(flags, ...fetch("http://10.1.2.3/p6")))).connects).toEqual(["10.1.2.3:80"]);
  });

  test("the proxy's own addresses, once it was reached, are no destination either", async () => {
    const ports = Object.values(PROXY_PORTS).join(" ");
    const script = `${CURL} -sS -m 20 https://outside.example.org/a1 > /tmp/x && for port in ${ports}; do ${CURL} -sS -m 20 -o /dev/null http://93.184.216.60:$port/; done; true`;
    const { result, connects } = await during(() => run(["--upstream-proxy", OPEN], "/bin/sh", "-c", script));
    expect(connects[0]).toBe("outside.example.org:443");
    expect(connects).not.toContain(`93.184.216.60:${PROXY_PORTS.open}`);
    expect(result.stderr).toContain("93.184.216.60 is the upstream proxy itself");
  });

  test("a proxy that cannot be used is no start, with the remedy", async () => {
    const open = join(shell.directory, "open-auth");
    writeFileSync(open, "a:b\n", { mode: 0o644 });
    const cases: [readonly string[], RegExp][] = [
      [["--upstream-proxy", "proxy:3128"], /is not http:\/\/HOST:PORT or https:\/\/HOST:PORT/],
      [["--upstream-proxy", "socks5://proxy:1080"], /is not http/],
      [["--upstream-proxy", "http://user:secret@proxy:3128"], /--upstream-proxy-auth-file FILE/],
      [["--upstream-proxy", "http://proxy:3128/path"], /is not http/],
      [["--upstream-proxy", OPEN, "--upstream-proxy-auth-file", "/nonexistent"], /cannot be read/],
      [["--upstream-proxy", OPEN, "--upstream-proxy-auth-file", open], /chmod 600/],
      [["--upstream-proxy", OPEN, "--upstream-no-proxy", "*"], /'\*' is no domain, address or CIDR/],
      [["--upstream-no-proxy", "example.com"], /there is none/],
      [["--upstream-proxy-auth-file", authFile], /there is none/],
    ];
    for (const [flags, message] of cases) {
      const { exitCode, stdout, stderr } = await run(flags, "/bin/echo", "started");
      expect([flags, exitCode, stdout]).toEqual([flags, 2, ""]);
      expect(stderr).toMatch(message);
      expect(stderr).not.toContain("secret");
      expect(stderr).not.toMatch(/^\s+at /m);
    }
  });

  test("models are reached by it too", async () => {
    const routes = join(shell.directory, "routes.yaml");
    const route =
      "{ name: inference.local, endpoint: https://outside.example.org/v1, model: m, provider_type: openai, protocols: [openai_chat_completions], api_key: k }";
    writeFileSync(routes, `routes: [${route}]\n`, { mode: 0o600 });
    const url = `http://${PROXY_NAME}:${PROXY_PORTS.guarded}`;
    const flags = ["--upstream-proxy", url, "--upstream-proxy-auth-file", authFile, "--inference-routes", routes];
    const body = ["-H", "Content-Type: application/json", "-d", '{"model":"x","messages":[]}'];
    const { result, connects, requests, questions } = await during(() =>
      run(flags, ...fetch("https://inference.local/v1/chat/completions", ...body)),
    );
    expect(result.stdout).toBe("200");
    expect(connects).toEqual(["outside.example.org:443"]);
    expect(requests).toEqual(["https outside.example.org/v1/chat/completions"]);
    expect(questions).toEqual([PROXY_NAME]);
  });

  test("a gateway passes its proxy to the sandboxes it starts", async () => {
    await shell.startGateway(
      "--upstream-ca",
      net.caFile,
      "--upstream-proxy",
      `http://${PROXY_NAME}:${PROXY_PORTS.guarded}`,
      "--upstream-proxy-auth-file",
      authFile,
    );
    await shell.create("proxied", policy);
    const { result, connects } = await during(() => shell.exec("proxied", ...fetch("https://outside.example.org/g1")));
    expect(result.stdout).toBe("200");
    expect(connects).toEqual(["outside.example.org:443"]);
  });
});
