/** curl, wget, Python and Node through the explicit proxy: http and https, allowed and denied. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor, pathOf } from "./inside.ts";

const curl = installed("curl", "/usr/bin/curl");
const wget = installed("wget", "/usr/bin/wget");
const python = installed("Python", "/usr/bin/python3");
const node = installed("Node.js", "/usr/bin/node", "/usr/local/bin/node");

const ALLOWED = ["api.example.com:80", "api.example.com:443"];

/** Node 20 knows no proxy variables: a program does by hand what its libraries do (undici's ProxyAgent, https-proxy-agent). */
const NODE = `
const { request } = require("node:http");
const { connect } = require("node:tls");
const proxy = new URL(process.env.https_proxy), target = new URL(process.argv[1]), port = target.port || 443;
const fail = (code) => (error) => { console.error(error?.message ?? "refused"); process.exit(code); };
const authority = target.hostname + ":" + port;
// As those libraries do: without it Node names the proxy as Host, and a proxy that wants one authority refuses two.
const headers = { host: authority };
const tunnel = request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: authority, headers });
tunnel.on("error", fail(7)).on("response", fail(8)).on("connect", (answer, socket) => {
  if (answer.statusCode !== 200) return fail(22)({ message: "proxy says " + answer.statusCode });
  const tls = connect({ socket, servername: target.hostname }, () =>
    tls.write("GET " + target.pathname + " HTTP/1.1\\r\\nHost: " + target.host + "\\r\\nConnection: close\\r\\n\\r\\n"));
  tls.on("error", fail(35)).pipe(process.stdout);
}).end();`;

const PYTHON = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())";
/** The real library, from the place where every Python has it. */
const REQUESTS = `
import sys
try:
    import requests
except ImportError:
    from pip._vendor import requests
answer = requests.get(sys.argv[1], timeout=10)
answer.raise_for_status()
sys.stdout.write(answer.text)`;

const clients = [
  { name: "curl", program: curl, get: (url: string) => ["curl", "-sS", "--fail", "--max-time", "10", url], schemes: ["http", "https"] },
  { name: "curl with HTTP/1.0", program: curl, get: (url: string) => ["curl", "-sS", "-0", "--fail", url], schemes: ["http", "https"] },
  { name: "wget", program: wget, get: (url: string) => ["wget", "-q", "-O-", "--tries=1", url], schemes: ["http", "https"] },
  { name: "Python's urllib", program: python, get: (url: string) => ["/usr/bin/python3", "-c", PYTHON, url], schemes: ["http", "https"] },
  {
    name: "Python's requests",
    program: python,
    get: (url: string) => ["/usr/bin/python3", "-c", REQUESTS, url],
    schemes: ["http", "https"],
  },
  { name: "Node with an explicit proxy", program: node, get: (url: string) => [pathOf(node), "-e", NODE, url], schemes: ["https"] },
];

for (const { name, program, get, schemes } of clients) {
  const missing = missingFor(name, program);
  describe.skipIf(missing !== undefined)(name, () => {
    let inside: Inside;
    beforeAll(async () => {
      inside = await Inside.open([
        { binaries: [pathOf(program)], endpoints: ALLOWED },
        // For another program: what it may do says nothing about this one.
        { binaries: ["/usr/bin/false"], endpoints: ["other.example.com:80", "other.example.com:443"] },
      ]);
    });
    afterAll(() => inside?.[Symbol.asyncDispose]());

    for (const scheme of schemes) {
      test(`${scheme}: an allowed host answers`, async () => {
        const { exitCode, stdout, stderr } = await inside.run(get(`${scheme}://api.example.com/hello`));
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr });
        expect(stdout).toContain('"/hello"');
        expect(stderr).toMatch(/ ALLOWED .*api\.example\.com/);
      });

      test(`${scheme}: a host that only another program may reach, another port and an unknown name are refused`, async () => {
        for (const host of ["other.example.com", "api.example.com:8443", "unknown.example.com"])
          await inside.refused(get(`${scheme}://${host}/`));
      });
    }
  });
}

const missing = missingFor("curl: more of the proxy", curl);
describe.skipIf(missing !== undefined)("curl", () => {
  let inside: Inside;
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: ["/usr/bin/curl"], endpoints: [...ALLOWED, "h2.example.com:9443"] }]);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("HTTP/2 to the server, through the tunnel", async () => {
    const { stdout } = await inside.run(["curl", "-sS", "--http2", "-w", " %{http_version}", "https://h2.example.com:9443/two"]);
    expect(stdout).toMatch(/"protocol":"h2".* 2$/);
  });

  test("an upload of some megabytes and several requests on one connection", async () => {
    const { stdout, exitCode } = await inside.script(
      "head -c 5000000 /dev/zero > body; curl -sS --fail -T body https://api.example.com/up; curl -sS --fail http://api.example.com/1 http://api.example.com/2 https://api.example.com/3 https://api.example.com/4",
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain('"bodyBytes":5000000');
    for (const path of ["/1", "/2", "/3", "/4"]) expect(stdout).toContain(`"path":"${path}"`);
  });

  test("what a denied program sees: the reason in the body over http, in the proxy's answer over https", async () => {
    const plain = await inside.refused(["curl", "-sS", "--fail-with-body", "http://other.example.com/"]);
    expect(JSON.parse(plain.stdout)).toMatchObject({ error: "policy_denied", host: "other.example.com", port: 80 });
    const tunnel = await inside.refused(["curl", "-sS", "https://other.example.com/"]);
    expect(tunnel.stderr).toMatch(/CONNECT tunnel failed, response 403|Received HTTP code 403 from proxy/);
  });
});
