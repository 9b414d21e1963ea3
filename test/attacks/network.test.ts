/** Past the proxy: no packet of a confined program reaches anything else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Seen } from "../internet/seen.ts";
import { DNS_ADDRESS, HOST, INTERNET } from "../internet/topology.ts";
import { Arena, missingForAttacks, type Outcome, PERL, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks past the proxy: ${missing}`);

const V4 = ["93.184.216.34", "169.254.169.254", "10.1.2.3", HOST.ipv4, INTERNET.ipv4, "10.200.0.1", "127.0.0.1"];
const V6 = ["2606:2800::1", "fd00::1", "::1", "::ffff:93.184.216.34"];
const PORTS = [22, 80, 443, 5432, 6379];
const RESOLVERS = [DNS_ADDRESS, "8.8.8.8", "10.200.0.1", "2606:2800::53"];

describe.skipIf(missing !== undefined)("past the proxy", () => {
  let arena: Arena;
  let inside: Outcome["probes"];
  let outside: Outcome["probes"];
  let seen: { readonly before: Seen; readonly after: Seen };
  const mark = `openshell-attack-${process.pid}`;
  /** Below /run, /tmp and a home: what a container engine, a desktop or an ssh-agent would have. */
  const sockets = [`/run/${mark}.sock`, `/tmp/${mark}.sock`, `/var/tmp/${mark}.sock`, `@${mark}`];

  beforeAll(async () => {
    arena = await Arena.open();
    const server = await arena.net.spawnOnHost([PERL, join(import.meta.dir, "programs/sockets.pl"), ...sockets]);
    await server.waitForOutput(/up/);
    const env = {
      TARGETS: [...V4, ...V6].flatMap((address) => PORTS.map((port) => `${address}|${port}`)).join(","),
      RESOLVERS: RESOLVERS.join(","),
      SOCKETS: sockets.join(","),
    };
    // The host's own tries come first, so that what is seen afterwards is the sandbox's.
    ({ probes: outside } = await arena.outside("network.pl", {
      ...env,
      TARGETS: "93.184.216.34|80,2606:2800::1|80",
      RESOLVERS: DNS_ADDRESS,
    }));
    const before = await arena.net.seenWhenQuiet();
    const outcome = await arena.run("network.pl", { env, network: rule("own", "api.example.com", 80, [PERL]) });
    if (outcome.exitCode !== 0) throw new Error(`exit ${outcome.exitCode}: ${outcome.stdout}${outcome.stderr}`);
    inside = outcome.probes;
    seen = { before, after: await arena.net.seenWhenQuiet() };
  }, 60_000);
  afterAll(async () => {
    for (const path of sockets) rmSync(path, { force: true });
    await arena?.[Symbol.asyncDispose]();
  });

  test("the probes work: outside the same connections, questions and sockets are answered", () => {
    expect(outside["connect 93.184.216.34 80"]).toBe("answered");
    expect(outside["connect 2606:2800::1 80"]).toBe("answered");
    expect(outside[`UDP ${DNS_ADDRESS}`]).toBe("answered");
    expect(outside["resolver"]).toBe("answered");
    for (const path of sockets) expect(outside[`unix ${path}`]).toBe("connected");
  });

  for (const address of [...V4, ...V6]) {
    test(`case-93: a direct connection to ${address} gets nothing`, () => {
      for (const port of PORTS) {
        expect(inside[`connect ${address} ${port}`]).toMatch(/^(silent|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH)$/);
      }
    });
  }

  test("questions for names are answered by the sandbox itself, and no other datagram is", () => {
    for (const address of RESOLVERS) expect(inside[`UDP ${address}`]).toBe("answered");
    expect(inside["UDP 123 93.184.216.34"]).not.toBe("answered");
  });

  test("data in the first packet, or a foreign source address, opens no connection", () => {
    expect(inside["fast open"]).toBe("ENOTSUP");
    expect(inside["foreign source address"]).toMatch(/^not (bound|connected)$/);
  });

  test("another proxy, or none, in the environment is no way out", () => {
    if (inside["empty environment"] === undefined) return console.log("skipped: /usr/bin/curl is not there");
    for (const how of ["another proxy by environment", "no proxy by environment", "empty environment", "another proxy by flag"])
      expect({ how, result: inside[how], outside: outside[how] }).toEqual({ how, result: "nothing", outside: "200" });
  });

  test("threat-08: Unix sockets of the host do not exist, abstract ones are another namespace's", () => {
    for (const path of sockets) expect(inside[`unix ${path}`]).toBe(path.startsWith("@") ? "ECONNREFUSED" : "ENOENT");
  });

  test("case-55: the box's own loopback is reached directly", () => {
    expect(inside["own loopback"]).toBe("answered");
  });

  test("not one packet or question left the host", () => {
    expect(seen.after.packets).toEqual(seen.before.packets);
    expect(seen.after.questions.length).toBe(seen.before.questions.length);
    expect(seen.after.connections.length).toBe(seen.before.connections.length);
  });
});
