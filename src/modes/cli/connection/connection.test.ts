import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { OpenShellError } from "../../../error.ts";
import { OpenShell, ServiceStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { runCli } from "../gateway.fixture.ts";
import { type Authority, testAuthority } from "./authority.fixture.ts";
import { addRegistration, findRegistration, selectGateway } from "./registry.ts";
import { findGateway } from "./target.ts";

let home: string;
let env: Record<string, string>;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "openshell-cli-"));
  env = { XDG_CONFIG_HOME: home, OPENSHELL_SYSTEM_GATEWAY_DIR: join(home, "system") };
});
afterEach(() => rmSync(home, { recursive: true }));

function caught(run: () => unknown): OpenShellError {
  try {
    run();
  } catch (reason) {
    return OpenShellError.from(reason);
  }
  throw new Error("nothing was thrown");
}

describe("which gateway", () => {
  test("a direct endpoint, then a name, then the active one", () => {
    addRegistration("east", "https://127.0.0.1:1001", { ca: "ca" }, env);
    addRegistration("west", "https://127.0.0.1:1002", { ca: "ca" }, env);
    selectGateway("west", env);
    expect(findGateway({}, env)).toMatchObject({ name: "west", endpoint: "https://127.0.0.1:1002" });
    expect(findGateway({ name: "east" }, env)).toMatchObject({ name: "east", endpoint: "https://127.0.0.1:1001" });
    expect(findGateway({ name: "east", endpoint: "https://gw.example.test:7/x" }, env)).toEqual({
      name: "gw.example.test",
      endpoint: "https://gw.example.test:7",
      directory: join(home, "openshell/gateways/gw.example.test"),
    });
    expect(findGateway({ endpoint: "localhost:5" }, env)).toMatchObject({ name: "openshell", endpoint: "https://localhost:5" });
  });

  test("the user's registration shadows the machine's", () => {
    const system = join(home, "system/openshell");
    mkdirSync(system, { recursive: true });
    writeFileSync(join(system, "metadata.json"), JSON.stringify({ gateway_endpoint: "https://127.0.0.1:9", auth_mode: null }));
    expect(findRegistration("openshell", env)).toMatchObject({ endpoint: "https://127.0.0.1:9", system: true, authMode: "mtls" });
    addRegistration("openshell", "https://127.0.0.1:8", { ca: "ca", cert: "c", key: "k" }, env);
    expect(findRegistration("openshell", env)).toMatchObject({ endpoint: "https://127.0.0.1:8", system: false });
    expect(statSync(join(home, "openshell/gateways/openshell/mtls/tls.key")).mode & 0o777).toBe(0o600);
  });

  test("none: one sentence and the command that starts or selects one", () => {
    expect(caught(() => findGateway({}, env))).toMatchObject({ code: "failed_precondition", next: "openshell gateway serve" });
    addRegistration("east", "https://127.0.0.1:1001", undefined, env);
    expect(caught(() => findGateway({}, env))).toMatchObject({ next: "openshell gateway select east" });
    expect(caught(() => findGateway({ name: "west" }, env))).toMatchObject({ code: "not_found" });
  });

  for (const endpoint of ["http://gw.example.test:80", "ftp://x", "https://user:pw@x", "https://"]) {
    test(`refused: ${endpoint}`, () => expect(caught(() => findGateway({ endpoint }, env)).code).toBe("invalid_argument"));
  }
  for (const name of ["../x", ".", "", "a/b", "a\nb"]) {
    test(`no name for a gateway: ${JSON.stringify(name)}`, () =>
      expect(caught(() => selectGateway(name, env)).code).toBe("invalid_argument"));
  }

  test("a broken registration names its file", () => {
    const directory = join(home, "openshell/gateways/east");
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "metadata.json"), "{");
    expect(caught(() => findGateway({ name: "east" }, env)).message).toContain(join(directory, "metadata.json"));
    writeFileSync(join(directory, "metadata.json"), "null");
    expect(caught(() => findGateway({ name: "east" }, env)).message).toContain("no gateway_endpoint");
  });
});

/** A gateway with TLS that tells who called. */
async function secureGateway(authority: Authority) {
  const server = createSecureServer(
    { ...(await authority.issue("gateway")), ca: authority.ca, requestCert: true, rejectUnauthorized: false },
    connectNodeAdapter({
      routes: (router) =>
        void router.service(OpenShell, {
          health: () => ({ status: ServiceStatus.HEALTHY, version: "1.2.3" }),
          getGatewayInfo: () => ({}),
          getCurrentUser: () => ({ subject: caller }),
        }),
    }),
  );
  let caller = "nobody";
  server.on("session", (session) => {
    const socket = session.socket as TLSSocket;
    caller = socket.authorized ? String(socket.getPeerCertificate().subject.CN) : "nobody";
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return { endpoint: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

describe("TLS", () => {
  test("the registered CA is trusted, the client certificate is shown, and nothing else steers the dial", async () => {
    const authority = await testAuthority("ours");
    const gateway = await secureGateway(authority);
    try {
      addRegistration("ours", gateway.endpoint, { ca: authority.ca, ...(await authority.issue("ann@host")) }, env);
      selectGateway("ours", env);
      const proxied = { env: { ...env, https_proxy: "http://127.0.0.1:1", HTTPS_PROXY: "http://127.0.0.1:1" } };
      expect(await runCli(["status"], home, proxied)).toEqual({
        code: 0,
        err: "",
        out: `Gateway: ours\nServer:  ${gateway.endpoint}\nStatus:  Connected\nVersion: 1.2.3\n`,
      });
      expect((await runCli(["whoami", "-o", "name"], home, { env })).out).toBe("ann@host\n");
    } finally {
      gateway.close();
    }
  });

  test("another CA is refused, with the file to check", async () => {
    const gateway = await secureGateway(await testAuthority("stranger"));
    try {
      addRegistration("ours", gateway.endpoint, { ca: (await testAuthority("ours")).ca }, env);
      const { code, err } = await runCli(["-g", "ours", "sandbox", "list"], home, { env });
      expect(code).toBe(1);
      expect(err).toContain("TLS verification failed");
      expect(err).toContain("mtls/ca.crt");
      for (const asked of [
        { flags: ["--gateway-insecure"], env },
        { flags: [], env: { ...env, OPENSHELL_GATEWAY_INSECURE: "true" } },
      ]) {
        const insecure = await runCli(["-g", "ours", "sandbox", "list", ...asked.flags], home, { env: asked.env });
        expect([insecure.code, insecure.err]).toEqual([1, expect.stringContaining("--gateway-insecure changes nothing")]);
      }
    } finally {
      gateway.close();
    }
  });

  test("https without a CA file never falls back to the system's", async () => {
    addRegistration("ours", "https://127.0.0.1:1", undefined, env);
    const { code, err } = await runCli(["-g", "ours", "sandbox", "list"], home, { env });
    expect([code, err.includes("no CA certificate")]).toEqual([1, true]);
  });

  test("nobody listens: the sentence and the command", async () => {
    addRegistration("ours", "http://127.0.0.1:1", undefined, env);
    const { code, err } = await runCli(["-g", "ours", "logs", "x"], home, { env });
    expect([code, err]).toEqual([1, "Error: gateway 'ours' at http://127.0.0.1:1 is not running\nNext: openshell gateway serve\n"]);
    expect(await runCli(["status"], home, { env: { ...env, OPENSHELL_GATEWAY: "" } })).toMatchObject({ code: 0, err: "" });
  });
});
