/** What a PostgreSQL client and server say before their session, through the proxy, on loopback. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { eventually } from "../../../../../test/eventually.ts";
import { classifyAddress } from "../../../../address/address-class.ts";
import { PolicyEngine } from "../../../../engine/policy-engine.ts";
import type { SecurityEvent } from "../../../../events/event.ts";
import { listenTcp } from "../../../../linux/listener.ts";
import { parsePolicyYaml } from "../../../../policy/yaml.ts";
import { BinaryTrust } from "../binary-trust.ts";
import { Resolver } from "../destination/resolver.ts";
import { type Egress, serveEgress } from "../serve.ts";
import { SandboxCa } from "../tls/sandbox-ca.ts";
import { sslRequest } from "./opening.ts";

const psql = {
  pid: 58,
  startTime: 1,
  exe: "/usr/bin/psql",
  file: { device: "1", inode: "2", size: 3, mtimeNs: "4", ctimeNs: "5" },
  ancestors: [],
  commandLine: "psql",
};
const GSSENC_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 48]);
const STARTUP = Buffer.from("\0\0\0\x14\0\x03\0\0user\0somebody\0\0".slice(0, 20), "latin1");

const events: SecurityEvent[] = [];
let egress: Egress;
let proxyPort = 0;
let serverPort = 0;
let heard: Buffer[] = [];
/** What the server says to each chunk. */
let answer: (socket: Socket, bytes: Buffer) => void = () => {};

beforeAll(async () => {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => {
      heard.push(bytes);
      answer(socket, bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  serverPort = (server.address() as { port: number }).port;
  const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  proxyPort = free.port;
  free.stop(true);
  const engine = new PolicyEngine();
  const policy = `version: 1\nnetwork_policies:\n  db:\n    endpoints: [{ host: db.example, port: ${serverPort}, protocol: sql, access: full }]\n    binaries: [{ path: ${psql.exe} }]\n`;
  engine.load(parsePolicyYaml(policy, { source: "test" }));
  egress = serveEgress({
    listenerFd: listenTcp("127.0.0.1", proxyPort, 64),
    identify: () => ({ known: true, program: psql }),
    engine,
    emit: (event) => events.push(event),
    trustedCidrs: [],
    ownAddresses: () => new Set(),
    trust: new BinaryTrust(async () => ({ sha256: "00ff" })),
    resolver: new Resolver({ hostsFile: "/nonexistent", system: async () => ["127.0.0.1"] }),
    classify: (address) => (address.startsWith("127.") ? "public" : classifyAddress(address)),
    ca: new SandboxCa(),
    authorities: [],
    limits: { headMs: 400, sweepMs: 50, lingerMs: 200 },
  });
});
afterAll(() => egress[Symbol.dispose]());

/** Sends pieces, each after an answer to the one before; gives what came behind the proxy's 200 until the end, or until `until` bytes. */
async function talk(pieces: readonly Buffer[], until = Number.POSITIVE_INFINITY): Promise<string> {
  events.length = 0;
  heard = [];
  const socket = connect(proxyPort, "127.0.0.1", () =>
    socket.write(`CONNECT db.example:${serverPort} HTTP/1.1\r\nHost: db.example:${serverPort}\r\n\r\n`),
  );
  const left = [...pieces];
  let said = "";
  await new Promise<void>((resolve) => {
    socket.on("data", (bytes: Buffer) => {
      said += bytes.toString("latin1");
      const next = left.shift();
      if (next !== undefined) socket.write(next);
      else if (said.length - said.indexOf("\r\n\r\n") - 4 >= until) resolve();
    });
    socket.on("close", () => resolve()).on("error", () => resolve());
  });
  socket.destroy();
  return said.slice(said.indexOf("\r\n\r\n") + 4);
}
const codes = () => events.flatMap((event) => (event.kind === "network" && event.code !== undefined ? [event.code] : []));

test("GSSAPI is declined without asking; a server without TLS says so; then the session begins", async () => {
  answer = (socket, bytes) => void socket.write(bytes.length === 8 ? "N" : "R");
  expect(await talk([GSSENC_REQUEST, sslRequest(), STARTUP], 3)).toBe("NNR");
  expect(Buffer.concat(heard)).toEqual(Buffer.concat([sslRequest(), STARTUP]));
  expect(codes()).toEqual([]);
});

test("bytes behind the question for TLS end the connection before anything is sent on", async () => {
  answer = (socket) => void socket.write("N");
  expect(await talk([Buffer.concat([sslRequest(), STARTUP])])).toBe("");
  expect([heard.length, codes()]).toEqual([0, ["sql_protocol"]]);
});

test("a server that says more than yes or no is not believed", async () => {
  for (const said of ["Sx", "NR", "E", "X"]) {
    answer = (socket) => void socket.write(said);
    expect([said, await talk([sslRequest()])]).toEqual([said, ""]);
    expect(codes()).toEqual(["sql_protocol"]);
  }
});

test("a yes without TLS behind it is not passed on", async () => {
  answer = (socket, bytes) => void socket.write(bytes.length === 8 ? "S" : "this is not TLS at all");
  expect(await talk([sslRequest()])).toBe("");
  expect(codes()).toEqual(["upstream_failed"]);
});

test("a server that hangs up ends the connection", async () => {
  answer = (socket) => void socket.destroy();
  await talk([sslRequest()]);
  expect(codes()).toEqual(["upstream_failed"]);
});

test("threat-16 a client that does not go on is ended", async () => {
  expect(await talk([sslRequest().subarray(0, 5)])).toBe("");
  expect(codes()).toEqual(["sql_timeout"]);
});

test("what is not PostgreSQL passes under audit, and is told of", async () => {
  answer = (socket) => void socket.write("hello");
  expect(await talk([Buffer.from([0, 0, 0, 9, 1, 2, 3, 4, 5])], 5)).toBe("hello");
  await eventually("the event", 2000, async () => codes().includes("unsupported_l7_protocol") || undefined);
});
