/** HTTP/2 and gRPC through inspection: real clients in a sandbox, each allowed and denied. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";
import { HTTP2_PORT } from "../internet/topology.ts";

const node = installed("Node", "/usr/bin/node");
const curl = installed("curl", "/usr/bin/curl");
const HOST = `h2.example.com:${HTTP2_PORT}`;

const policy = () => `version: 1
network_policies:
  api:
    endpoints:
      - host: h2.example.com
        port: ${HTTP2_PORT}
        protocol: rest
        enforcement: enforce
        rules:
          - allow: { method: GET, path: "/public/**" }
          - allow: { method: POST, path: "/test.Echo/*" }
      - { host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: read-only }
    binaries: [{ path: ${pathOf(node)} }, { path: ${pathOf(curl)} }]
`;

/** Node's own HTTP/2 client on a CONNECT tunnel; prints the status of each path, all asked for at once. */
const NODE = `
const [host, ...paths] = process.argv.slice(2);
const proxy = new URL(process.env.https_proxy);
require("node:http").request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: host, headers: { host } })
  .on("connect", (_, socket) => {
    const name = host.split(":")[0];
    const tls = require("node:tls").connect({ socket, servername: name, ALPNProtocols: ["h2"] });
    const session = require("node:http2").connect("https://" + host, { createConnection: () => tls });
    const ask = (path) => new Promise((resolve, reject) => {
      let text = "", status;
      session.request({ ":path": path }).on("response", (headers) => { status = headers[":status"]; })
        .on("data", (bytes) => { text += bytes; }).on("end", () => resolve(status + " " + JSON.parse(text).path)).on("error", reject);
    });
    Promise.all(paths.map(ask)).then((all) => { console.log(all.join("\\n")); session.close(); });
  }).end();`;

/** Every kind of call with grpc-js, which finds the proxy and the authority by their variables alone. */
const GRPC = `
const { Client, credentials } = require("@grpc/grpc-js");
const [host, service] = process.argv.slice(2);
const client = new Client(host, credentials.createSsl());
const bytes = (value) => Buffer.from(value);
const soon = () => ({ deadline: Date.now() + 20000 });
const told = (error, answer) => (error ? error.code + " " + error.details : answer);
const unary = (method, text, options = soon()) =>
  new Promise((resolve) => client.makeUnaryRequest(service + method, bytes, String, text, options, (error, answer) => resolve(told(error, answer))));
const clientStream = () => new Promise((resolve) => {
  const call = client.makeClientStreamRequest(service + "One", bytes, String, soon(), (error, answer) => resolve(told(error, answer)));
  call.write("only"); call.end();
});
const read = (call) => new Promise((resolve) => {
  const parts = [];
  call.on("data", (part) => parts.push(part)).on("error", () => {}).on("status", ({ code }) => resolve(parts.join("") + " " + code));
});
const serverStream = (method) => read(client.makeServerStreamRequest(service + method, bytes, String, "streamed", soon()));
const bidi = () => {
  const call = client.makeBidiStreamRequest(service + "Chat", bytes, String, soon());
  const all = read(call);
  let sent = 0;
  const next = () => { if (sent === 200) call.end(); else { sent++; call.write("x".repeat(1000)); } };
  call.on("data", next); next();
  return all.then((text) => text.length);
};
(async () => {
  console.log(await unary("Say", "hello"));
  console.log((await unary("Say", "y".repeat(3000000))).length);
  console.log(await unary("Fail", "x"));
  console.log((await unary("Wait", "x", { deadline: Date.now() + 300 })).split(" ")[0]);
  console.log(await clientStream());
  console.log(await serverStream("Stream"));
  console.log(await serverStream("Late"));
  console.log(await bidi());
  client.close();
})();`;

const missing = missingFor("HTTP/2 through inspection", node, curl);
describe.skipIf(missing !== undefined)("HTTP/2 through inspection", () => {
  let inside: Inside;
  let run: (argv: readonly string[], flags?: readonly string[]) => Promise<{ exitCode: number; stdout: string; stderr: string }>;

  beforeAll(async () => {
    inside = await Inside.open([]);
    const file = inside.shell.policy("http2", policy());
    run = (argv, flags = []) => inside.net.runOnHost([BINARY, "sandbox", "run", "--policy", file, ...flags, "--", ...argv], {});
    writeFileSync(inside.place("node.cjs"), NODE);
    writeFileSync(inside.place("grpc.cjs"), GRPC);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const arrived = async () => (await inside.net.seenWhenQuiet()).requests.filter(({ port }) => port === HTTP2_PORT).map(({ path }) => path);
  const script = (name: string) => ["--mount", `${inside.place(name)}:/${name}`];
  const modules = ["--mount", `${join(import.meta.dir, "../../node_modules")}:/node_modules`];

  test("curl speaks HTTP/2 with us, and we with the server; what is not allowed is a 403 with the reason", async () => {
    const web = [pathOf(curl), "-sS", "--http2", "-w", "\\n%{http_version} %{http_code}"];
    const allowed = await run([...web, `https://${HOST}/public/a`]);
    expect(allowed.stdout).toEndWith("\n2 200");
    expect(JSON.parse(allowed.stdout.split("\n")[0] ?? "")).toMatchObject({ protocol: "h2", path: "/public/a" });
    const refused = await run([...web, `https://${HOST}/private`]);
    expect(refused.stdout).toEndWith("\n2 403");
    expect(JSON.parse(refused.stdout.split("\n")[0] ?? "")).toMatchObject({ error: "policy_denied", method: "GET", path: "/private" });
    expect(await arrived()).toEqual(["/public/a"]);
  });

  test("curl speaks HTTP/2 with us where the server speaks HTTP/1.1 alone", async () => {
    const web = [pathOf(curl), "-sS", "--http2", "-w", "\\n%{http_version} %{http_code}", "https://api.example.com/repos"];
    expect((await run(web)).stdout).toEndWith("\n2 200");
    expect((await run([...web, "-X", "DELETE"])).stdout).toEndWith("\n2 403");
  });

  test("Node's own client: streams of one connection are decided one by one", async () => {
    const paths = ["/public/1", "/secret/2", "/public/3", "/secret/4"];
    const { stdout } = await run([pathOf(node), "/node.cjs", HOST, ...paths], script("node.cjs"));
    expect(stdout.trim().split("\n")).toEqual(["200 /public/1", "403 /secret/2", "200 /public/3", "403 /secret/4"]);
    expect((await arrived()).filter((path) => path.startsWith("/secret"))).toEqual([]);
  });

  test("grpc-js over TLS: calls of every kind, deadlines, errors as they are", async () => {
    const { stdout, stderr } = await run([pathOf(node), "/grpc.cjs", HOST, "/test.Echo/"], [...script("grpc.cjs"), ...modules]);
    expect({ lines: stdout.trim().split("\n"), stderr: stdout === "" ? stderr : "" }).toEqual({
      lines: ["hello", "3000000", "5 no such thing", "4", "only", "streamed 0", "streamed 10", "200002"],
      stderr: "",
    });
  });

  test("grpc-js: a method that is not allowed is PERMISSION_DENIED with the reason", async () => {
    const before = (await arrived()).length;
    const { stdout } = await run([pathOf(node), "/grpc.cjs", HOST, "/test.Other/"], [...script("grpc.cjs"), ...modules]);
    const lines = stdout.trim().split("\n");
    expect(lines[0]).toStartWith("7 POST /test.Other/Say not permitted by policy 'api'");
    expect(lines.slice(3)).toEqual(["7", expect.stringMatching(/^7 /), " 7", " 7", "2"]);
    expect((await arrived()).length).toBe(before);
  });
});
