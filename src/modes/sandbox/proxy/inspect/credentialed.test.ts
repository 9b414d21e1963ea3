/** Connections on which requests may carry credentials, although no rule is about requests. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { TLSSocket } from "node:tls";
import { CredentialSet, Credentials } from "../../credentials/model.ts";
import { slotsOf } from "../../credentials/slot.ts";
import { InspectingProxy } from "./inspection.test-support.ts";

const SECRET = "a-secret-of-the-provider-1";
const PLACEHOLDER = "openshell:resolve:env:TOKEN";

let proxy: InspectingProxy;
let server: Server;
let port = 0;
let heard = "";

beforeAll(async () => {
  const endpoints = [{ host: "a.example", ports: [], path: "" }];
  const credential = { key: "TOKEN", secret: SECRET, provider: "p", slots: slotsOf("TOKEN"), endpoints };
  proxy = await InspectingProxy.open({}, new Credentials(new CredentialSet([credential])));
  const secureContext = await proxy.upstreamCa.context("a.example");
  server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] });
    tls.on("error", () => tls.destroy());
    tls.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1");
      const upgraded = /^upgrade: (.*)\r$/im.exec(heard)?.[1];
      if (upgraded === undefined) tls.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else tls.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgraded}\r\n\r\nunread ${SECRET}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
});
afterAll(() => {
  proxy[Symbol.dispose]();
  server.close();
});

async function ask(request: string): Promise<string> {
  heard = "";
  const socket = await proxy.secure(port, ["http/1.1"]);
  return await new Promise((resolve, reject) => {
    let all = "";
    socket.on("data", (bytes: Buffer) => {
      all += bytes.toString("latin1");
    });
    socket.on("end", () => resolve(all)).on("error", reject);
    socket.write(request.replaceAll("\n", "\r\n"));
  });
}

test("threat-23 no other protocol than WebSocket may follow a request", async () => {
  proxy.load(`port: ${port}`);
  for (const other of ["h2c", "tcp", "spdy/3.1"]) {
    const answer = await ask(
      `GET / HTTP/1.1\nHost: a.example\nConnection: Upgrade, close\nUpgrade: ${other}\nAuthorization: Bearer ${PLACEHOLDER}\n\n`,
    );
    expect(heard).toContain(`Bearer ${SECRET}`);
    expect(answer).toStartWith("HTTP/1.1 200 ");
    expect(answer).not.toContain(SECRET);
  }
  expect(await ask("GET / HTTP/1.1\nHost: a.example\nConnection: Upgrade\nUpgrade: websocket\n\n")).toStartWith("HTTP/1.1 101 ");
  proxy.load(`port: ${port}, allow_uninspected_credentials: true`);
  expect(await ask("GET / HTTP/1.1\nHost: a.example\nConnection: Upgrade\nUpgrade: tcp\n\n")).toStartWith("HTTP/1.1 101 ");
});

test("a refusal says method, path and policy, and nothing of the secret", async () => {
  proxy.load(`port: ${port}`);
  const answer = await ask(`GET /x?y HTTP/1.1\nHost: a.example\nX-Other: ${PLACEHOLDER}\n\n`);
  expect(answer).toContain("X-OpenShell-Policy: rule\r\n");
  expect(JSON.parse(answer.slice(answer.indexOf("{")))).toMatchObject({
    error: "credential_misplaced",
    layer: "l7",
    host: "a.example",
    port,
    method: "GET",
    path: "/x",
    binary: "/usr/bin/curl",
    policy: "rule",
  });
  expect(heard + answer).not.toContain(SECRET);
  expect(proxy.events.at(-1)).toMatchObject({ kind: "http", action: "denied", engine: "credentials", policy: "rule", method: "GET" });
});
