/** WebSocket messages of a real client inside a sandbox, each decided (case-70, case-74). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";

const NODE = installed("node", "/usr/bin/node");
const missing = missingFor("WebSocket messages", NODE);

const endpoint = (path: string, more: string) =>
  `api.example.com, ports: [80, 443], path: ${path}, protocol: websocket, enforcement: enforce, ${more}`;
const ENDPOINTS = [
  endpoint("/full", "access: full"),
  endpoint("/silent", "access: read-only"),
  endpoint("/audited", "access: read-only").replace("enforcement: enforce", "enforcement: audit"),
  endpoint("/graphql", "rules: [{ allow: { operation_type: query } }, { allow: { method: GET } }]"),
  "other.example.com, port: 443, protocol: rest, access: read-write, enforcement: enforce",
  "cdn.example.net, port: 443, protocol: rest, access: read-only, enforcement: enforce",
];

describe.skipIf(missing !== undefined)("WebSocket messages", () => {
  let inside: Inside;
  let mount: readonly string[];
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: [pathOf(NODE)], endpoints: ENDPOINTS }]);
    mount = ["--mount", `${await bundle(inside.place("client"))}:/client:ro`];
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  /** Sends lines; gives what the client printed and what the server heard. */
  async function talk(url: string, lines: readonly string[], ...protocols: readonly string[]) {
    const since = (await inside.net.seenWhenQuiet()).requests.length;
    const argv = [pathOf(NODE), "/client/client.mjs", url, ...protocols];
    const { stdout, stderr } = await inside.run(argv, mount, lines.map((line) => `${line}\n`).join(""));
    const heard = (await inside.net.seenWhenQuiet()).requests.slice(since).map(({ method }) => method);
    return { said: stdout.trimEnd().split("\n"), heard, log: stderr };
  }

  test("case-70 case-74 allowed messages are answered; compression is not negotiated; large and binary ones pass", async () => {
    const long = "x".repeat(70_000);
    const { said, heard, log } = await talk("wss://api.example.com/full", ["hello", "binary 3000000", long, "é😀"], "chat");
    expect(said).toEqual([
      "open chat",
      "got echo:hello",
      "got binary 3000000",
      `got echo:${long.slice(0, 195)}`,
      "got echo:é😀",
      "close 1000 done",
    ]);
    expect(heard).toEqual(["UPGRADE", "hello", "binary 3000000", long.slice(0, 80), "é😀", "close 1000"]);
    expect(log).toMatch(/HTTP:WEBSOCKET_TEXT .*ALLOWED .*api\.example\.com\/full/);
  });

  test("case-74 a message that no rule allows never reaches the server, and both sides learn why", async () => {
    const { said, heard, log } = await talk("wss://api.example.com/silent", ["hello"]);
    expect(said).toEqual(["open ", expect.stringMatching(/^close 1008 WEBSOCKET_TEXT \/silent not permitted by policy/)]);
    expect(heard).toEqual(["UPGRADE", "close 1008"]);
    expect(log).toMatch(/HTTP:WEBSOCKET_TEXT .*DENIED .*api\.example\.com\/silent/);
    expect((await talk("wss://api.example.com/silent", ["binary 5"])).heard).toEqual(["UPGRADE", "close 1008"]);
  });

  test("under audit it passes and is logged; over plain HTTP too", async () => {
    const { said, log } = await talk("ws://api.example.com/audited", ["hello"]);
    expect(said).toEqual(["open ", "got echo:hello", "close 1000 done"]);
    expect(log).toMatch(/\[LOW\] ALLOWED .*WEBSOCKET_TEXT .*not permitted/);
  });

  test("case-74 GraphQL in messages", async () => {
    const message = (query: string) => JSON.stringify({ id: "1", type: "subscribe", payload: { query } });
    const init = JSON.stringify({ type: "connection_init" });
    const { said, heard } = await talk(
      "wss://api.example.com/graphql",
      [init, message("{ me }"), message("mutation { drop }")],
      "graphql-transport-ws",
    );
    expect(said).toEqual([
      "open graphql-transport-ws",
      `got echo:${init}`,
      `got echo:${message("{ me }")}`,
      expect.stringMatching(/^close 1008 .*mutation drop/),
    ]);
    expect(heard).toEqual(["UPGRADE", init, message("{ me }"), "close 1008"]);
  });

  test("frames that break the protocol end the connection and go nowhere", async () => {
    for (const [hex, code] of [
      ["8101ff", 1002], // no mask
      ["c18100000000ff", 1002], // compressed
      ["818100000000ff", 1007], // not UTF-8
      ["81ff00000000004000010000000000", 1009], // 4 MiB and one byte
    ] as const) {
      const { said, heard } = await talk("wss://api.example.com/full", [`raw ${hex}`]);
      expect([hex, said.at(-1)]).toEqual([hex, expect.stringMatching(new RegExp(`^close ${code} `))]);
      expect(heard).toEqual(["UPGRADE", `close ${code}`]);
    }
  });

  test("where messages are not read, the upgrade needs the right to write", async () => {
    expect((await talk("wss://other.example.com/any", ["hello"])).said).toEqual([
      expect.stringMatching(/^open permessage-deflate/),
      "got echo:hello",
      "close 1000 done",
    ]);
    const refused = await talk("wss://cdn.example.net/any", ["hello"]);
    expect(refused.said[0]).toMatch(/^refused 403 .*rest_allow/);
    expect(refused.heard).toEqual([]);
  });

  test("a client that knows no proxy is decided alike", async () => {
    for (const scheme of ["ws", "wss"]) {
      const client = (path: string) =>
        `echo hello | exec env -u https_proxy ${pathOf(NODE)} /client/client.mjs ${scheme}://api.example.com${path}`;
      const { stdout } = await inside.script(`${client("/full")}; ${client("/silent")}`, mount);
      expect(stdout.split("\n").slice(0, 4)).toEqual(["open ", "got echo:hello", "close 1000 done", "open "]);
      expect(stdout).toMatch(/close 1008 WEBSOCKET_TEXT \/silent not permitted/);
    }
  });

  test("case-73 a new policy counts from the next message", async () => {
    const text = (access: string) => `version: 1
network_policies:
  ws:
    endpoints: [{ host: api.example.com, port: 443, protocol: websocket, access: ${access}, enforcement: enforce }]
    binaries: [{ path: ${realpathSync(pathOf(NODE))} }]
`;
    const policy = inside.shell.policy("turning", text("full"));
    const client = ["--", pathOf(NODE), "/client/client.mjs", "wss://api.example.com/turn"];
    const program = await inside.net.spawnOnHost([BINARY, "sandbox", "run", "--policy", policy, ...mount, ...client]);
    await program.waitForOutput(/open /);
    await program.write("one\n");
    await program.waitForOutput(/got echo:one/);
    writeFileSync(policy, text("read-only"));
    await inside.net.killOnHost(program.pid, "SIGHUP");
    await program.waitForOutput(/(?:CONFIG:LOADED[\s\S]*){2}/);
    await program.write("two\n");
    const { stdout } = await program.exited;
    expect(stdout).toMatch(/^open \ngot echo:one\nclose 1008 /);
  });
});

async function bundle(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, "websocket-client.ts")], target: "node", format: "esm" });
  const [output] = built.outputs;
  if (output === undefined) throw new Error(built.logs.join("\n"));
  writeFileSync(join(directory, "client.mjs"), await output.text());
  return directory;
}
