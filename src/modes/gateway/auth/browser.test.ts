import { expect, test } from "bun:test";
import { request } from "node:http";
import { connect } from "node:http2";
import { createSandbox, testGateway } from "../gateway.test-support.ts";

const PATH = "/openshell.v1.OpenShell/ListSandboxes";
const BODY = JSON.stringify({ workspaceScope: { workspace: "default" } });

function http1(port: number, headers: Record<string, string>, method = "POST", path = PATH): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port, path, method, headers: { "content-type": "application/json", ...headers } },
      (answer) => {
        let body = "";
        answer.on("data", (piece) => {
          body += piece;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
      },
    );
    asked.on("error", reject);
    asked.end(method === "POST" ? BODY : undefined);
  });
}

function http2(port: number, authority: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const asked = session.request({ ":method": "POST", ":path": PATH, ":authority": authority, "content-type": "application/json" });
    asked.on("response", (headers) => {
      resolve(Number(headers[":status"]));
      session.destroy();
    });
    asked.on("error", reject);
    asked.end(BODY);
  });
}

test("threat-20 a page in a browser is not the local user, whatever name leads it to a plaintext gateway", async () => {
  await using gateway = await testGateway({ disableTls: true });
  await createSandbox(gateway, { name: "own" });
  const port = Number(new URL(gateway.gateway.endpoint).port);
  const local = await http1(port, { host: `127.0.0.1:${port}` });
  expect(local.body).toContain("own");
  expect(await http2(port, `localhost:${port}`)).toBe(200);
  for (const headers of [
    { host: `rebound.example:${port}` },
    { host: `127.0.0.1.rebound.example:${port}` },
    { host: `127.0.0.1:${port}`, origin: "http://127.0.0.1:8080" },
    { host: `127.0.0.1:${port}`, origin: "null" },
    { host: `localhost:${port}`, "sec-fetch-site": "same-origin" },
  ]) {
    const { status, body } = await http1(port, headers);
    expect([headers, status, body.includes("own")]).toEqual([headers, 401, false]);
    expect((await http1(port, headers, "GET", "/metrics")).status).toBe(401);
  }
  expect(await http2(port, `rebound.example:${port}`)).toBe(401);
});
