/** A program that takes every place for connections that it gets, by one process or by many, beside one that asks now and then. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";

const curl = installed("curl", "/usr/bin/curl");
const node = installed("Node", "/usr/bin/node");
const ASKED = 20;

const policy = () => `version: 1
network_policies:
  own:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, enforcement: enforce, access: full }
    binaries: [{ path: ${pathOf(curl)} }, { path: ${pathOf(node)} }]
`;

/** `node flood.cjs PROCESSES CONNECTIONS`: so many silent connections all the time; one that ends is opened again. Prints `full` once one was refused. */
const FLOOD = `
const net = require("node:net"), { spawn } = require("node:child_process");
const [processes, connections] = process.argv.slice(2).map(Number);
const proxy = new URL(process.env.https_proxy);
const open = () => {
  const socket = net.connect(Number(proxy.port), proxy.hostname);
  socket.once("data", (bytes) => { if (/^HTTP.1.1 503/.test(bytes.toString("latin1"))) console.log("full"); socket.destroy(); });
  socket.on("error", () => {}).once("close", () => setTimeout(open, 50));
};
for (let i = 0; i < connections; i++) open();
for (let i = 1; i < processes; i++) spawn(process.execPath, [__filename, "1", String(connections)], { stdio: "inherit" });
`;

const missing = missingFor("fair places", curl, node);
describe.skipIf(missing !== undefined)("a program that takes every place", () => {
  let inside: Inside;
  let file: string;
  beforeAll(async () => {
    inside = await Inside.open([]);
    file = inside.shell.policy("fair-places", policy());
    writeFileSync(inside.place("flood.cjs"), FLOOD);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  for (const [what, processes, connections] of [
    ["one process", 1, 900],
    ["twenty processes", 20, 60],
  ] as const)
    test(`threat-16 ${what}: another program is answered each time, without a second attempt`, async () => {
      const ask = "curl -sS -o /dev/null -w '%{http_code}\\n' https://api.example.com/beside";
      const script = [
        `node /flood.cjs ${processes} ${connections} > /tmp/flood & flood=$!`,
        "until grep -q full /tmp/flood; do sleep 0.2; done",
        `for i in $(seq ${ASKED}); do ${ask}; done`,
        "kill $flood",
      ].join("\n");
      const words = ["--policy", file, "--mount", `${inside.place("flood.cjs")}:/flood.cjs`];
      const program = await inside.net.spawnOnHost([BINARY, "sandbox", "run", ...words, "--", "/bin/sh", "-c", script]);
      const { stdout, stderr } = await program.exited;
      expect(stdout).toBe("200\n".repeat(ASKED));
      expect(stderr).toMatch(/reason:\d+ connections are open or waiting, and this program gets no more places/);
    }, 300_000);
});
