/** A program that takes all that the way out can give: the supervisor stays, answers others, keeps its memory, and says which limit it was. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";
import { HTTP2_PORT } from "../internet/topology.ts";
import { ProgramMemory } from "./supervisor-memory.ts";

const curl = installed("curl", "/usr/bin/curl");
const node = installed("Node", "/usr/bin/node");
/** Names of one address each; more than leaves are kept. */
const HOSTS = 400;
/** Downloads that nobody reads; each would hold a megabyte by itself, TLS included. */
const STALLED = 450;
/** What they may make the supervisor grow by, in KB: the budget of all flows, and what the TLS of 900 connections and their least take. */
const STALLED_GROWTH_KB = 320 * 1024;
/** What the supervisor may grow by under any of these, in KB: buffers of all connections, and what is not collected yet. */
const GROWTH_KB = 192 * 1024;

const policy = () => `version: 1
network_policies:
  own:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: "*.many.example.com", port: 443, protocol: rest, enforcement: enforce, access: full }
      - { host: h2.example.com, port: ${HTTP2_PORT}, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: ${pathOf(curl)} }, { path: ${pathOf(node)} }]
`;

/**
 * `node attack.cjs KIND`: prints `ready` when the attack stands, and at the end of its input how many of its connections had which answer.
 */
const ATTACK = `
const [kind] = process.argv.slice(2);
const net = require("node:net"), tls = require("node:tls"), fs = require("node:fs");
const ca = fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS), proxy = new URL(process.env.https_proxy);
const counts = {};
const count = (what) => { counts[what] = (counts[what] ?? 0) + 1; };
const connection = () => new Promise((resolve) => {
  const socket = net.connect({ port: Number(proxy.port), host: proxy.hostname, allowHalfOpen: false }, () => resolve(socket));
  socket.once("data", (bytes) => count(/^HTTP\\/1\\.[01] (\\d+)/.exec(bytes.toString("latin1"))?.[1] ?? "other"));
  socket.on("error", () => count("reset")).on("close", () => count("closed"));
  setTimeout(() => resolve(socket), 20000).unref();
});
const head = (host, port = 443) => "CONNECT " + host + ":" + port + " HTTP/1.1\\r\\nHost: " + host + ":" + port + "\\r\\n\\r\\n";
const secured = async (host, port, ...ALPNProtocols) => { const raw = await connection(); await answered(raw, head(host, port));
  return new Promise((resolve, reject) => { const socket = tls.connect({ socket: raw, servername: host, ca, ALPNProtocols }, () => resolve(socket)); socket.on("error", reject); }); };
// The first bytes are read, and no others.
const begun = (socket, bytes) => new Promise((resolve) => { socket.once("data", () => { socket.pause(); count("begun"); resolve(); }).once("close", resolve); socket.write(bytes); });
const many = async (number, each, atOnce = 20) => { for (let i = 0; i < number; i += atOnce) await Promise.all(Array.from({ length: Math.min(atOnce, number - i) }, (_, k) => each(i + k))); };
const answered = (socket, bytes) => new Promise((resolve) => { socket.once("data", resolve).once("close", resolve); socket.write(bytes); });
const ATTACKS = {
  silent: () => many(1500, connection, 100),
  slow: () => many(200, async () => { const socket = await connection(); const timer = setInterval(() => socket.write("x"), 500); socket.once("close", () => clearInterval(timer)); socket.write("CONNECT a"); }),
  handshakes: () => many(200, async () => { const socket = await connection(); await answered(socket, head("api.example.com")); socket.write(Buffer.from("160301020001000100", "hex")); }),
  heads: () => many(200, async () => { const socket = await connection(); await answered(socket, "GET http://api.example.com/ HTTP/1.1\\r\\nHost: api.example.com\\r\\nX-Large: " + "x".repeat(1 << 20)); socket.destroy(); }),
  denials: () => many(3000, async () => { const socket = await connection(); await answered(socket, head("denied.example")); socket.destroy(); }),
  // Windows wide open, four downloads, in frames by hand (:method GET, :scheme https, :path, :authority).
  stalled2: () => many(${STALLED}, async () => { const socket = await secured("h2.example.com", ${HTTP2_PORT}, "h2");
    const frame = (type, flags, stream, payload) => { const header = Buffer.alloc(9); header.writeUIntBE(payload.length, 0, 3); header[3] = type; header[4] = flags; header.writeUInt32BE(stream, 5); return Buffer.concat([header, payload]); };
    const text = (value) => Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
    const block = Buffer.concat([Buffer.of(0x82, 0x87, 0x04), text("/public/bytes/67108864"), Buffer.of(0x01), text("h2.example.com:${HTTP2_PORT}")]);
    await begun(socket, Buffer.concat([Buffer.from("PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n"), frame(4, 0, 0, Buffer.from("00047fffffff", "hex")), frame(8, 0, 0, Buffer.from("70000000", "hex")), ...[1, 3, 5, 7].map((id) => frame(1, 5, id, block))])); }, 10),
  stalled1: () => many(${STALLED}, async () => begun(await secured("api.example.com", 443, "http/1.1"), "GET /bytes/67108864 HTTP/1.1\\r\\nHost: api.example.com\\r\\n\\r\\n"), 10),
  hosts: () => many(${HOSTS}, async (i) => { const host = "h" + i + ".many.example.com", raw = await connection(); await answered(raw, head(host));
    await new Promise((resolve) => { const socket = tls.connect({ socket: raw, servername: host, ca }, () => { count("secured"); socket.destroy(); resolve(); }); socket.on("error", (error) => { count(error.message); resolve(); }); }); }),
};
ATTACKS[kind]().then(() => console.log("ready"));
process.stdin.on("end", () => { console.log(JSON.stringify(counts)); process.exit(0); }).resume();
`;

const missing = missingFor("exhaustion", curl, node);
describe.skipIf(missing !== undefined)("a program that takes all it can", () => {
  let inside: Inside;
  let file: string;
  beforeAll(async () => {
    inside = await Inside.open([]);
    await inside.net.addZones(Object.fromEntries(Array.from({ length: HOSTS }, (_, i) => [`h${i}.many.example.com`, ["93.184.216.70"]])));
    file = inside.shell.policy("exhaustion", policy());
    writeFileSync(inside.place("attack.cjs"), ATTACK);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  /** Another program asks once the attack stands, and again when it is over; each may have to wait for its turn. */
  async function attacked(kind: string) {
    const ask = (when: string) =>
      `echo "${when} $(curl -sS -o /dev/null -w '%{http_code}' --retry 10 --retry-delay 2 --retry-all-errors --max-time 50 https://api.example.com/beside)"`;
    const script = [
      ask("before"),
      "mkfifo /tmp/end",
      `node /attack.cjs ${kind} < /tmp/end > /tmp/out & exec 9> /tmp/end`,
      "echo idle; read go",
      "until grep -q ready /tmp/out; do sleep 0.2; done",
      ask("beside"),
      "echo stands; read go",
      "exec 9>&-; wait; cat /tmp/out",
      ask("after"),
      "echo done; read go",
    ].join("\n");
    const words = ["--policy", file, "--mount", `${inside.place("attack.cjs")}:/attack.cjs`];
    const program = await inside.net.spawnOnHost([BINARY, "sandbox", "run", ...words, "--", "/bin/sh", "-c", script]);
    await program.waitForOutput(/^idle$/m);
    const memory = await ProgramMemory.of(inside.net, program);
    memory.start();
    await program.write("\n");
    await program.waitForOutput(/^stands$/m);
    return {
      program,
      /** `said`: what must be in the log before the attack ends. */
      async end(said?: RegExp, most = GROWTH_KB) {
        if (said !== undefined) await program.waitForOutput(said);
        await program.write("\n");
        await program.waitForOutput(/^done$/m);
        const grown = memory.growth();
        await program.write("\n");
        const { stdout, stderr } = await program.exited;
        for (const when of ["before", "beside", "after"]) expect(stdout).toContain(`${when} 200\n`);
        expect(grown).toBeLessThan(most);
        return { counts: JSON.parse(/^\{.*\}$/m.exec(stdout)?.[0] ?? "{}") as Record<string, number>, log: stderr };
      },
    };
  }

  test("threat-16 connections that say nothing: some wait, the rest is refused with the number of those that are there", async () => {
    const { counts } = await (await attacked("silent")).end(/reason:\d+ connections are open or waiting/);
    expect(counts["503"]).toBeGreaterThan(500);
    expect(counts["200"]).toBeUndefined();
  }, 300_000);

  test("threat-16 heads that never end: refused after ten seconds", async () => {
    const { counts } = await (await attacked("slow")).end(/reason:no complete request head within 10000 ms/);
    expect(counts["408"]).toBeGreaterThan(0);
    expect(counts["200"]).toBeUndefined();
  }, 300_000);

  test("threat-16 threat-23 TLS handshakes that never end: closed after ten seconds", async () => {
    const { counts } = await (await attacked("handshakes")).end(/reason:no complete TLS handshake within 10000 ms/);
    expect(counts["200"]).toBe(200);
  }, 300_000);

  test("threat-16 heads of a megabyte: refused at the limit", async () => {
    const { counts, log } = await (await attacked("heads")).end();
    expect(counts["431"] ?? counts["reset"]).toBeGreaterThan(0);
    expect(log).toMatch(/request head is larger than the 8192 bytes/);
  }, 300_000);

  test("threat-16 thousands of denials", async () => {
    const { counts } = await (await attacked("denials")).end();
    expect(counts["403"]).toBe(3000);
  }, 300_000);

  test("threat-28 downloads of HTTP/2 that nobody reads", async () => {
    const { counts } = await (await attacked("stalled2")).end(undefined, STALLED_GROWTH_KB);
    expect(counts["begun"]).toBe(STALLED);
  }, 300_000);

  test("threat-28 downloads of HTTP/1 that nobody reads", async () => {
    const { counts } = await (await attacked("stalled1")).end(undefined, STALLED_GROWTH_KB);
    expect(counts["begun"]).toBe(STALLED);
  }, 300_000);

  test("threat-16 more hosts than certificates are kept", async () => {
    const { counts } = await (await attacked("hosts")).end();
    expect(counts["secured"]).toBe(HOSTS);
  }, 300_000);
});
