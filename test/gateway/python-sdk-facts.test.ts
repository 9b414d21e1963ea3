/** What else clients like the Python SDK count on: registration files, a client with the CA alone, pages, rich errors, phases, credentials. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DescMethod, create as message, toBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { DeletionOutcome, OpenShell, type Sandbox, SandboxPhase } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway, workspaceScope } from "./host.ts";
import { failureOf, PlainClient, pathOf, registeredClient } from "./plain-grpc.ts";
import { frame, Wire } from "./wire.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: what the Python SDK counts on: ${missing}`);

const { method } = OpenShell;
const allWorkspaces = { selection: { case: "allWorkspaces", value: {} } } as const;
/** The largest message that published clients take. Bytes. */
const CLIENT_LIMIT = 4 * 1024 * 1024;
/** For what takes a second, on a machine that does other things too. Milliseconds. */
const PATIENCE = 60_000;

describe.skipIf(missing !== undefined)("what the Python SDK counts on", () => {
  let host: GatewayHost;
  let client: PlainClient;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    client = registeredClient(host);
  });
  afterAll(async () => {
    client?.[Symbol.dispose]();
    await host?.[Symbol.asyncDispose]();
  });

  const create = async (name: string, more: object = {}): Promise<Sandbox> => {
    const { sandbox } = await client.unary(method.createSandbox, { workspaceScope, name, spec: {}, ...more });
    if (sandbox === undefined) throw new Error("no sandbox in the answer");
    return sandbox;
  };
  const get = async (name: string) => (await client.unary(method.getSandbox, { workspaceScope, name })).sandbox;
  const settled = (name: string) =>
    eventually(`${name} to be ready or completed`, PATIENCE, async () => {
      const sandbox = await get(name);
      const phase = sandbox?.status?.phase;
      if (phase === SandboxPhase.ERROR || phase === SandboxPhase.STOPPED) throw new Error(`${name} is ${SandboxPhase[phase]}`);
      return phase === SandboxPhase.READY || phase === SandboxPhase.COMPLETED ? sandbox : undefined;
    });
  const run = async (sandbox: string, command: string[], more = {}): Promise<readonly [number, string]> => {
    let text = "";
    let exit = -1;
    for await (const { payload } of client.stream(method.execSandbox, { workspaceScope, sandbox, command, ...more })) {
      if (payload.case === "stdout") text += new TextDecoder().decode(payload.value.data);
      else if (payload.case === "exit") exit = payload.value.exitCode;
    }
    return [exit, text];
  };

  test("the files by which it finds the gateway: an https address without brackets, no oidc, PEM", () => {
    const config = join(host.directory, "config/openshell");
    const name = readFileSync(join(config, "active_gateway"), "utf8").trim();
    expect(name).toBe("openshell");
    const directory = join(config, "gateways", name);
    const metadata = JSON.parse(readFileSync(join(directory, "metadata.json"), "utf8")) as Record<string, unknown>;
    expect(metadata).toMatchObject({ gateway_endpoint: host.endpoint, auth_mode: "mtls" });
    expect(new URL(host.endpoint).hostname).toBe("127.0.0.1");
    for (const file of ["ca.crt", "tls.crt"]) expect(readFileSync(join(directory, "mtls", file), "utf8")).toContain("BEGIN CERTIFICATE");
    expect(readFileSync(join(directory, "mtls/tls.key"), "utf8")).toContain("PRIVATE KEY");
    expect(statSync(join(directory, "mtls/tls.key")).mode & 0o777).toBe(0o600);
  });

  describe("with the authority alone", () => {
    const stranger = (bearer?: string): PlainClient => {
      const ca = readFileSync(join(host.directory, "config/openshell/gateways/openshell/mtls/ca.crt"));
      const metadata = new Metadata();
      if (bearer !== undefined) metadata.set("authorization", `Bearer ${bearer}`);
      const channel = new Client(`127.0.0.1:${host.port}`, credentials.createSsl(ca), { "grpc.ssl_target_name_override": "localhost" });
      return new PlainClient(channel, metadata);
    };
    test("health answers; everything else is UNAUTHENTICATED, not a broken connection", async () => {
      using alone = stranger();
      expect((await alone.unary(method.health, {})).version).not.toBe("");
      expect((await failureOf(alone.unary(method.listSandboxes, { workspaceScope }))).code).toBe(status.UNAUTHENTICATED);
      expect((await failureOf(alone.unary(method.createSandbox, { workspaceScope, name: "no", spec: {} }))).code).toBe(
        status.UNAUTHENTICATED,
      );
    });
    test("a bearer that is none is UNAUTHENTICATED, wherever it is shown", async () => {
      using wrong = stranger("not-a-token");
      expect((await failureOf(wrong.unary(method.health, {}))).code).toBe(status.UNAUTHENTICATED);
      expect((await failureOf(wrong.unary(method.getSandbox, { workspaceScope, name: "x" }))).code).toBe(status.UNAUTHENTICATED);
    });
  });

  test("any page size is taken, none too; tokens are of their list alone; no page is too large for a client", async () => {
    // Some 900 KiB each, so that four of them are more than one answer may be.
    const annotations = Object.fromEntries(Array.from({ length: 112 }, (_, at) => [`note-${at}`, "x".repeat(8000)]));
    for (const name of ["page-1", "page-2", "page-3", "page-4", "page-5"]) await create(name, { annotations, labels: { of: "pages" } });
    const list = (more: object) => client.unary(method.listSandboxes, { workspaceScope, labelSelector: "of=pages", ...more });
    const sizes: number[] = [];
    const names: string[] = [];
    for (let pageToken = ""; ; ) {
      const request = { workspaceScope, pageSize: 2_147_483_647, pageToken, labelSelector: "of=pages" };
      const bytes = await client.raw(
        method.listSandboxes,
        toBinary(method.listSandboxes.input, message(method.listSandboxes.input, request)),
      );
      sizes.push(bytes.length);
      const page = await list({ pageSize: 2_147_483_647, pageToken });
      names.push(...page.sandboxes.map(({ metadata }) => metadata?.name ?? ""));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(names).toEqual(["page-1", "page-2", "page-3", "page-4", "page-5"]);
    expect(Math.max(...sizes)).toBeLessThan(CLIENT_LIMIT);
    expect((await failureOf(list({ pageSize: -1 }))).code).toBe(status.INVALID_ARGUMENT);
    expect((await failureOf(list({ pageToken: "made-up" }))).code).toBe(status.INVALID_ARGUMENT);
    const { nextPageToken } = await list({ pageSize: 1 });
    expect((await failureOf(list({ pageSize: 1, pageToken: nextPageToken, labelSelector: "of=others" }))).code).toBe(
      status.INVALID_ARGUMENT,
    );
    expect((await list({ labelSelector: "of=nobody" })).sandboxes).toEqual([]);
    expect((await list({ workspaceScope: allWorkspaces })).sandboxes.length).toBeGreaterThan(0);
    expect((await failureOf(client.unary(method.getSandbox, { workspaceScope: allWorkspaces, name: "page-1" }))).code).toBe(
      status.INVALID_ARGUMENT,
    );
    for (const name of names) await client.unary(method.deleteSandbox, { workspaceScope, name });
  }, 120_000);

  test("rich details name the very code and message of the status: also in other alphabets, and at the end of a stream", async () => {
    const text = await failureOf(client.unary(method.createSandbox, { workspaceScope, name: "größe 100 %", spec: {} }));
    const label = await failureOf(
      client.unary(method.createSandbox, { workspaceScope, name: "a", labels: { "schlüssel%": "ö" }, spec: {} }),
    );
    const stream = await failureOf(run("nowhere", ["/bin/true"]));
    expect([text.code, label.code, stream.code]).toEqual([status.INVALID_ARGUMENT, status.INVALID_ARGUMENT, status.NOT_FOUND]);
    expect(label.details).toContain("schlüssel%");
    for (const error of [text, label, stream]) {
      const [binary] = error.metadata.get("grpc-status-details-bin");
      expect(codeAndMessage(binary as Buffer)).toEqual([error.code, error.details]);
    }
  });

  test("request_id: the same call once, and what it answered again", async () => {
    const requestId = crypto.randomUUID();
    const first = await create("again", { requestId });
    expect((await create("again", { requestId })).metadata?.id).toBe(first.metadata?.id ?? "");
    const other = await failureOf(client.unary(method.createSandbox, { workspaceScope, name: "other", spec: {}, requestId }));
    expect([other.code, other.details]).toEqual([status.INVALID_ARGUMENT, expect.stringContaining("request_id")]);
    expect((await failureOf(create("again"))).code).toBe(status.ALREADY_EXISTS);
  });

  test("a main process that ends with 0 is COMPLETED, which counts as ready, and commands still run", async () => {
    await create("done", { spec: { command: ["/bin/true"] } });
    const ended = await eventually("the main process to end", PATIENCE, async () => {
      const sandbox = await get("done");
      return sandbox?.status?.exitCode === undefined ? undefined : sandbox;
    });
    expect(ended.status).toMatchObject({ phase: SandboxPhase.COMPLETED, exitCode: 0 });
    expect(await run("done", ["/bin/echo", "on"])).toEqual([0, "on\n"]);
  });

  test("names that are made up are short and good for host names; a ready sandbox says its host key", async () => {
    const name = (await create("")).metadata?.name ?? "";
    expect(name).toMatch(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/);
    expect(name.length).toBeLessThanOrEqual(19);
    expect(name).not.toContain("--");
    const ready = await settled(name);
    expect(ready.hostKeyFingerprint).toMatch(/^SHA256:/);
    expect([ready.status?.restartCount, ready.status?.nextRestartTime]).toEqual([0, undefined]);
    // exec: a login environment by default, a working directory that can be written, names of ours in its variables.
    expect(
      await run(name, ["/bin/sh", "-c", "touch here && command -v ls && echo $OPENSHELL_X"], { environment: { OPENSHELL_X: "y" } }),
    ).toEqual([0, expect.stringMatching(/\/ls\ny\n$/)]);
    expect((await run(name, ["/bin/sh", "-c", "command -v ls"], { noLoginShell: true }))[0]).toBe(0);
  });

  test("a command that outlives its deadline ends with DEADLINE_EXCEEDED, also when the client leaves that to the gateway", async () => {
    await create("late");
    await settled("late");
    using wire = new Wire(host);
    const request = { workspaceScope, sandbox: "late", command: ["/bin/sleep", "3600"] };
    const bytes = frame(toBinary(method.execSandbox.input, message(method.execSandbox.input, request)));
    const headers = { "content-type": "application/grpc", "grpc-timeout": "700m" };
    const came = await wire.post(pathOf(method.execSandbox), headers, bytes, PATIENCE);
    expect(came.trailers["grpc-status"] ?? came.headers["grpc-status"]).toBe(String(status.DEADLINE_EXCEEDED));
  });

  test("wait_deleted: after a delete the name is free, and what takes it has another id", async () => {
    const before = await create("taken");
    const gone = await client.unary(method.deleteSandbox, { workspaceScope, name: "taken", allowMissing: true });
    expect([gone.outcome, gone.sandboxId]).toEqual([DeletionOutcome.COMPLETED, before.metadata?.id ?? ""]);
    expect((await create("taken")).metadata?.id).not.toBe(before.metadata?.id ?? "");
  });

  test("credentials of a provider: exactly the keys that were asked for, by an operator", async () => {
    const provider = { metadata: { name: "shop" }, type: "generic", credentials: { A_KEY: "first-secret", B_KEY: "second-secret" } };
    await client.unary(method.createProvider, { workspaceScope, provider });
    const ask = (credentialKeys: string[], more = {}) =>
      client.unary(method.getProviderCredentials, { workspaceScope, name: "shop", credentialKeys, ...more });
    const { credentials: found } = await ask(["B_KEY"]);
    expect(Object.entries(found).map(([key, { value }]) => [key, value])).toEqual([["B_KEY", "second-secret"]]);
    expect(Object.keys((await ask(["A_KEY", "B_KEY"], { minimumRemainingLifetime: { seconds: 86_400n } })).credentials).sort()).toEqual([
      "A_KEY",
      "B_KEY",
    ]);
    expect((await failureOf(ask(["A_KEY", "C_KEY"]))).code).toBe(status.NOT_FOUND);
    expect((await failureOf(ask([]))).code).toBe(status.INVALID_ARGUMENT);
    expect((await failureOf(ask(Array.from({ length: 33 }, (_, at) => `K${at}`)))).code).toBe(status.INVALID_ARGUMENT);
    const nobody = client.unary(method.getProviderCredentials, { workspaceScope, name: "none", credentialKeys: ["A_KEY"] });
    expect((await failureOf(nobody)).code).toBe(status.NOT_FOUND);
    const expirations = { A_KEY: { seconds: BigInt(Math.floor(Date.now() / 1000) + 600) } };
    const renewed = { metadata: { name: "shop" }, credentials: { A_KEY: "third-secret" } };
    await client.unary(method.updateProvider, { workspaceScope, provider: renewed, credentialExpirationTimes: expirations });
    expect((await failureOf(ask(["A_KEY"], { minimumRemainingLifetime: { seconds: 86_400n } }))).code).toBe(status.FAILED_PRECONDITION);
    expect((await ask(["A_KEY"])).credentials["A_KEY"]?.value).toBe("third-secret");
  });

  test("workspaces: a missing one is NOT_FOUND; what waits is UNIMPLEMENTED, with a sentence", async () => {
    expect((await failureOf(client.unary(method.getWorkspace, { name: "other" }))).code).toBe(status.NOT_FOUND);
    const { workspaces } = await client.unary(method.listWorkspaces, { pageSize: 1, labelSelector: "no=such" });
    expect(workspaces).toEqual([]);
    const waiting: readonly DescMethod[] = [
      ...[method.deleteWorkspace, method.getSandboxTemplate, method.deleteSandboxTemplate, method.exposeService],
      ...[method.importProviderProfiles, method.configureProviderRefresh],
    ];
    for (const each of waiting) {
      const error = await failureOf(client.unary(each, { workspaceScope } as never));
      expect([each.name, error.code, error.details]).toEqual([
        each.name,
        status.UNIMPLEMENTED,
        expect.stringContaining("is not available"),
      ]);
    }
  });
});

/** Of google.rpc.Status: 1 code, 2 message. */
function codeAndMessage(bytes: Uint8Array): [number, string] {
  const reader = new BinaryReader(bytes);
  const found: [number, string] = [0, ""];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1) found[0] = reader.int32();
    else if (field === 2) found[1] = reader.string();
    else reader.skip(wire, field);
  }
  return found;
}
