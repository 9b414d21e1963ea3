/** Large bodies and many clients through inspection: everything arrives, and the supervisor does not grow. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";
import { HTTP2_PORT } from "../internet/topology.ts";
import { ProgramMemory } from "./supervisor-memory.ts";

const curl = installed("curl", "/usr/bin/curl");
const node = installed("Node", "/usr/bin/node");
/** `LONG_TESTS=1`: a gigabyte. */
const SIZE = process.env["LONG_TESTS"] === undefined ? 96 * 1024 * 1024 : 1024 * 1024 * 1024;
/** Of each of ten bodies whose readers stall. */
const STALLED_SIZE = 64 * 1024 * 1024;
/** What `head` may read at once, and throw away with what it was asked for. */
const MOST_OF_PIPE = 65_536;
/** What an idle supervisor may grow by while large bodies pass, or stall. */
const GROWTH_KB = 64 * 1024;

const policy = () => `version: 1
network_policies:
  large:
    endpoints:
      - { host: h2.example.com, port: ${HTTP2_PORT}, protocol: rest, enforcement: enforce, access: full }
      - { host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: ${pathOf(curl)} }, { path: ${pathOf(node)} }]
`;

const HTTP2 = `https://h2.example.com:${HTTP2_PORT}/public`;
const HTTP1 = "https://api.example.com";
/** Each writes one line: what came down, or what the server says that it got. */
const TOLD = "-o /dev/null -w '%{http_version} %{http_code} %{size_download}\n'";
const GOT = "| grep -o '\"bodyBytes\":[0-9]*'";
const transfers = (size: number) => [
  `curl -sS --http1.1 ${TOLD} ${HTTP1}/bytes/${size}`,
  `head -c ${size} /dev/zero | curl -sS --http1.1 -H Expect: -T - ${HTTP1}/up ${GOT}`,
  `curl -sS --http2 ${TOLD} ${HTTP2}/bytes/${size}`,
  `head -c ${size} /dev/zero | curl -sS --http2 -T - ${HTTP2}/up ${GOT}`,
];

/** Keep-alive clients of HTTP/1.1, all at once, some rounds each; prints how many answers were as they must be. */
const CLIENTS = `
const [count, rounds] = process.argv.slice(2).map(Number);
const proxy = new URL(process.env.https_proxy);
const { connect } = require("node:net"), tls = require("node:tls"), fs = require("node:fs");
const ca = fs.readFileSync(process.env.NODE_EXTRA_CA_CERTS);
const open = () => new Promise((resolve, reject) => {
  const socket = connect(Number(proxy.port), proxy.hostname, () => socket.write("CONNECT api.example.com:443 HTTP/1.1\\r\\nHost: api.example.com:443\\r\\n\\r\\n"));
  socket.once("data", () => { const secure = tls.connect({ socket, servername: "api.example.com", ca }, () => resolve(secure)); secure.on("error", reject); });
  socket.on("error", reject);
});
const ask = (socket, path) => new Promise((resolve, reject) => {
  let text = "";
  const read = (bytes) => { text += bytes; if (text.endsWith("}")) { socket.off("data", read); resolve(text); } };
  socket.on("data", read).once("close", () => reject(new Error("closed")));
  socket.write("POST " + path + " HTTP/1.1\\r\\nHost: api.example.com\\r\\nContent-Length: 3\\r\\n\\r\\nabc");
});
(async () => {
  const sockets = [];
  while (sockets.length < count) sockets.push(...await Promise.all(Array.from({ length: 20 }, open)));
  let right = 0;
  for (let round = 0; round < rounds; round++)
    for (const [index, text] of (await Promise.all(sockets.map((socket, index) => ask(socket, "/" + round + "/" + index)))).entries())
      if (text.startsWith("HTTP/1.1 200") && text.includes('"path":"/' + round + "/" + index + '"') && text.includes('"bodyBytes":3')) right++;
  console.log(right);
  process.exit(0);
})().catch((error) => { console.log(error.message); process.exit(1); });`;

const missing = missingFor("large bodies", curl, node);
describe.skipIf(missing !== undefined)("large bodies and many clients", () => {
  let inside: Inside;
  let file: string;
  beforeAll(async () => {
    inside = await Inside.open([]);
    file = inside.shell.policy("large", policy());
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const start = (script: string, ...flags: string[]) =>
    inside.net.spawnOnHost([BINARY, "sandbox", "run", "--policy", file, ...flags, "--", "/bin/sh", "-c", script]);

  /**
   * Runs a script in a sandbox that has made one small request and is idle: by how much the supervisor's largest resident size is larger from then
   * on, in KB, and what the script has written.
   */
  async function growth(script: string): Promise<{ readonly grown: number; readonly lines: readonly string[] }> {
    const program = await start(`curl -sS -o /dev/null ${HTTP1}/small\necho idle; read go\n${script}\necho done; read go`);
    await program.waitForOutput(/^idle$/m);
    const memory = await ProgramMemory.of(inside.net, program);
    memory.start();
    await program.write("\n");
    await program.waitForOutput(/^done$/m);
    const grown = memory.growth();
    await program.write("\n");
    const lines = (await program.exited).stdout.trim().split("\n");
    return { grown, lines: lines.slice(1, -1) };
  }

  test("up and down, HTTP/1.1 and HTTP/2", async () => {
    const { grown, lines } = await growth(transfers(SIZE).join("\n"));
    const got = `"bodyBytes":${SIZE}`;
    expect(lines).toEqual([`1.1 200 ${SIZE}`, got, `2 200 ${SIZE}`, got]);
    expect(grown).toBeLessThan(GROWTH_KB);
  }, 600_000);

  test("every byte arrives as it was sent, also behind a client that stalls", async () => {
    // The servers send nothing but sevens.
    const right = (await inside.net.runOnHost(["/bin/sh", "-c", `head -c ${SIZE} /dev/zero | tr '\\000' '\\007' | cksum`])).stdout.trim();
    const slowly = "(head -c 65536; sleep 2; cat) | cksum";
    const { lines } = await growth(
      [`--http1.1 ${HTTP1}`, `--http2 ${HTTP2}`, `--http2 ${HTTP1}`]
        .flatMap((from) => [`curl -sS ${from}/bytes/${SIZE} | cksum`, `curl -sS ${from}/bytes/${SIZE} | ${slowly}`])
        .join("\n"),
    );
    expect(lines).toEqual(Array.from({ length: 6 }, () => right));
  }, 600_000);

  // curl stops reading where its output is not read.
  const stalled = (url: string, version: string, size: number) =>
    `curl -sS ${version} ${url}/bytes/${size} | (head -c 1000 > /dev/null; sleep 4; wc -c)`;

  test("a client that stalls: nothing piles up", async () => {
    const { grown, lines } = await growth(`${stalled(HTTP1, "--http1.1", SIZE)}\n${stalled(HTTP2, "--http2", SIZE)}`);
    // `head` may read more than what it was asked for.
    expect(lines.filter((line) => Number(line) > SIZE - MOST_OF_PIPE)).toHaveLength(2);
    expect(grown).toBeLessThan(GROWTH_KB);
  }, 600_000);

  test("ten clients that stall and go on together hold what the budget of a supervisor allows, beside what one takes", async () => {
    const five = Array.from({ length: 5 });
    const script = [
      ...five.map(() => `${stalled(HTTP2, "--http2", STALLED_SIZE)} &`),
      ...five.map(() => `${stalled(HTTP1, "--http1.1", STALLED_SIZE)} &`),
      "wait",
    ];
    const { grown, lines } = await growth(script.join("\n"));
    expect(lines.filter((line) => Number(line) > STALLED_SIZE - MOST_OF_PIPE)).toHaveLength(10);
    expect(grown).toBeLessThan(2 * GROWTH_KB);
  }, 600_000);

  test("servers that stall: nothing piles up", async () => {
    const script = [
      `head -c ${SIZE} /dev/zero | curl -sS --http1.1 -H Expect: -T - ${HTTP1}/stall/4 ${GOT} &`,
      `head -c ${SIZE} /dev/zero | curl -sS --http2 -T - ${HTTP2}/stall/4 ${GOT} &`,
      "wait",
    ];
    const { grown, lines } = await growth(script.join("\n"));
    expect(lines).toEqual([`"bodyBytes":${SIZE}`, `"bodyBytes":${SIZE}`]);
    expect(grown).toBeLessThan(GROWTH_KB);
  }, 600_000);

  test("1,000 keep-alive clients at once, three requests each", async () => {
    writeFileSync(inside.place("clients.cjs"), CLIENTS);
    const mount = ["--mount", `${inside.place("clients.cjs")}:/clients.cjs`];
    const program = await start("node /clients.cjs 1000 3", ...mount);
    const { stdout, stderr } = await program.exited;
    expect(stdout.trim() === "3000" ? "" : `${stdout}${stderr.slice(-2000)}`).toBe("");
  }, 180_000);
});
