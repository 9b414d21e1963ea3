/** Where an allowed name may not lead: this machine, its network's services, and private networks that nobody permitted. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { HostProgram } from "../internet/open.ts";
import type { Seen } from "../internet/seen.ts";
import { HOST } from "../internet/topology.ts";
import { Arena, missingForAttacks, type Outcome, PERL, rule } from "./arena.ts";

const missing = missingForAttacks();
if (missing !== undefined) console.log(`skipped: attacks on destinations: ${missing}`);

/** Addresses that no rule opens, by the name that resolves to each. */
const blocked: Readonly<Record<string, string>> = {
  "loopback (case-41)": "127.0.0.1",
  "other loopback": "127.255.255.254",
  "metadata (case-41)": "169.254.169.254",
  "link-local": "169.254.1.1",
  "all zeros": "0.0.0.0",
  "this network": "0.1.2.3",
  multicast: "224.0.0.1",
  broadcast: "255.255.255.255",
  "IPv6 loopback": "::1",
  "IPv6 unspecified": "::",
  "IPv6 link-local": "fe80::1",
  "IPv6 multicast": "ff02::1",
  "mapped loopback (case-48)": "::ffff:127.0.0.1",
  "mapped metadata": "::ffff:169.254.169.254",
  "compatible loopback": "::7f00:1",
  "NAT64 of loopback": "64:ff9b::127.0.0.1",
  "6to4 of loopback": "2002:7f00:1::1",
  "Alibaba metadata": "100.100.100.200",
  "Azure wire server": "168.63.129.16",
  "AWS metadata over IPv6": "fd00:ec2::254",
  "Google metadata over IPv6": "fd20:ce::254",
  "the host": HOST.ipv4,
  "the host over IPv6": HOST.ipv6,
};
/** Private addresses: by permission of the policy only. */
const internal: Readonly<Record<string, string>> = {
  "mapped private (case-48)": "::ffff:10.9.9.9",
  "carrier NAT (case-48)": "100.64.1.1",
  "private 10": "10.9.9.9",
  "private 172": "172.16.9.9",
  "private 192": "192.168.9.9",
  benchmarking: "198.18.0.1",
  reserved: "240.0.0.1",
  "unique local": "fd12:3456::1",
};

const names = (table: Readonly<Record<string, string>>, prefix: string) =>
  Object.values(table).map((_, index) => `${prefix}${index}.example.com`);
const literal = (address: string) => (address.includes(":") ? `[${address}]` : address);
const connect = (host: string, port = 80) => `CONNECT ${host}:${port} HTTP/1.1\\r\\nHost: ${host}:${port}\\r\\n\\r\\n`;

describe.skipIf(missing !== undefined)("destinations", () => {
  let arena: Arena;
  let canary: HostProgram;
  let permissive: Outcome;
  let plain: Outcome;
  let seen: Seen;

  beforeAll(async () => {
    const zone = (table: Readonly<Record<string, string>>, prefix: string) =>
      Object.fromEntries(Object.values(table).map((address, index) => [`${prefix}${index}.example.com`, [address]]));
    arena = await Arena.open({
      ...zone(blocked, "blocked"),
      ...zone(internal, "internal"),
      "a.wild.example.com": ["93.184.216.52"],
      "internal.wild.example.com": ["10.1.2.9"],
      "rebind.example.com": [["93.184.216.50"], ["127.0.0.1"], ["127.0.0.1"]],
      "rebound.example.com": [["127.0.0.1"], ["93.184.216.51"]],
    });
    canary = await arena.net.spawnOnHost([PERL, join(import.meta.dir, "programs/canary.pl")]);
    await canary.waitForOutput(/up/);
    // The control of all below: without us, this host reaches itself.
    expect((await arena.net.runOnHost([PERL, "-MIO::Socket::IP", "-e", 'IO::Socket::IP->new("127.0.0.1:80") or exit 1'])).exitCode).toBe(0);
    await canary.waitForOutput(/REACHED at 127\.0\.0\.1/);

    // Everything that a policy and an operator can say in favour of these hosts.
    const everything = ', allowed_ips: ["10.0.0.0/8", "100.64.0.0/10", "192.0.2.0/24", "168.63.0.0/16", "fd00::/8", "2000::/3"]';
    permissive = await ask("permissive", [...named(blocked, "blocked"), ...literals(blocked)], {
      network:
        rule("names", "**.example.com", 80, [PERL], everything) +
        Object.values(blocked)
          .map((address, index) => rule(`literal${index}`, address, 80, [PERL], everything))
          .join(""),
      flags: ["10.0.0.0/8", "100.64.0.0/10", "192.0.2.0/24", "fd00::/8", "168.63.0.0/16"].flatMap((cidr) => ["--trusted-cidr", cidr]),
    });
    plain = await ask(
      "plain",
      [
        ...named(internal, "internal"),
        ["allowed host", connect("api.example.com")],
        ["case-47 public and private", connect("mixed.example.com")],
        ["case-43 by name", connect("internal.example.com")],
        ["case-43 by range", connect("10.77.0.1", 8000)],
        ["case-43 outside the range", connect("10.78.0.1", 8000)],
        ["case-44 literal", connect("10.66.0.1")],
        ["case-46 name", connect("internal.example.com", 6443)],
        ["case-46 literal", connect("10.66.0.1", 2379)],
        ["case-49 wildcard", connect("internal.wild.example.com")],
        ["case-26 wrong port", connect("api.example.com", 8080)],
        ["case-37 first of two ports", connect("other.example.com", 80)],
        ["case-37 second of two ports", connect("other.example.com", 8080)],
        ["case-37 a third", connect("other.example.com", 443)],
        // The range has no host, so every host is known at its port and unknown at others.
        ["case-38 one label", connect("a.wild.example.com")],
        ["case-38 the domain itself", connect("wild.example.com")],
        ["case-38 two labels", connect("a.b.wild.example.com")],
        ["rebinding", connect("rebind.example.com")],
        ["rebinding, a second time", connect("rebind.example.com")],
        ["rebound", connect("rebound.example.com")],
      ],
      {
        network:
          rule("own", "api.example.com", 80, [PERL]) +
          rule("mixed", "mixed.example.com", 80, [PERL]) +
          rule("rebind", "rebind.example.com", 80, [PERL]) +
          rule("rebound", "rebound.example.com", 80, [PERL]) +
          rule("inside", "internal.example.com", [80, 6443], [PERL], ', allowed_ips: ["10.1.2.0/24"]') +
          rule("range", "", 8000, [PERL], ', allowed_ips: ["10.77.0.0/16"]') +
          rule("literal", "10.66.0.1", [80, 2379], [PERL]) +
          rule("wild", "*.wild.example.com", 80, [PERL]) +
          rule("two_ports", "other.example.com", [80, 8080], [PERL]) +
          names(internal, "internal")
            .map((host, index) => rule(`internal${index}`, host, 80, ["/usr/bin/p*"]))
            .join(""),
      },
    );
    seen = await arena.net.seenWhenQuiet();
  }, 60_000);
  afterAll(() => arena?.[Symbol.asyncDispose]());

  type Requests = (readonly [string, string])[];
  const named = (table: Readonly<Record<string, string>>, prefix: string): Requests =>
    Object.keys(table).map((name, index) => [name, connect(`${prefix}${index}.example.com`)]);
  const literals = (table: Readonly<Record<string, string>>): Requests =>
    Object.entries(table).map(([name, address]) => [`${name}, literal`, connect(literal(address))]);

  async function ask(folder: string, requests: Requests, attack: { network: string; flags?: string[] }): Promise<Outcome> {
    const directory = arena.directory(folder);
    chmodSync(directory, 0o755);
    writeFileSync(join(directory, "list"), requests.map(([name, request]) => `${name}\t${request}\n`).join(""));
    const outcome = await arena.run("list.pl", { ...attack, env: { REQUESTS: "/requests/list" }, mounts: [`${directory}:/requests:ro`] });
    if (outcome.exitCode !== 0) throw new Error(`exit ${outcome.exitCode}: ${outcome.stdout}${outcome.stderr}`);
    return outcome;
  }

  for (const [name, address] of Object.entries(blocked)) {
    test(`threat-24: ${name}, ${address}: closed by name and as a literal, whatever policy and operator say`, () => {
      expect(permissive.probes[name]).toMatch(/^403 (always_blocked|own_address)$/);
      expect(permissive.probes[`${name}, literal`]).toMatch(/^403 (always_blocked|own_address)$/);
    });
  }

  for (const [name, address] of Object.entries(internal)) {
    test(`case-47, case-49: ${name}, ${address}: closed without a permission for it`, () => {
      expect(plain.probes[name]).toBe("403 internal_address");
    });
  }

  const expectPlain = (expected: Record<string, string>) =>
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, plain.probes[name]]))).toEqual(expected);

  test("the probes work: an allowed public host is reached", () => expectPlain({ "allowed host": "200" }));

  test("case-43, case-44: private addresses pass by allowed_ips, by a range alone, and as a declared literal", () => {
    expectPlain({
      "case-43 by name": "200",
      "case-43 by range": "200",
      "case-43 outside the range": "403 not_in_allowed_ips",
      "case-44 literal": "200",
    });
  });

  test("case-46: control-plane ports of private addresses stay closed", () => {
    expectPlain({ "case-46 name": "403 control_plane_port", "case-46 literal": "403 control_plane_port" });
  });

  test("case-49: a pattern does not permit private addresses", () => {
    expectPlain({ "case-49 wildcard": "403 internal_address" });
  });

  test("case-47: one private address among public ones closes the name", () => {
    expectPlain({ "case-47 public and private": "403 internal_address" });
  });

  test("case-26, case-37, case-38: ports and patterns mean what they say", () => {
    expectPlain({
      "case-26 wrong port": "403 port_not_allowed",
      "case-37 first of two ports": "200",
      "case-37 second of two ports": "200",
      "case-37 a third": "403 port_not_allowed",
      "case-38 one label": "200",
      "case-38 the domain itself": "403 port_not_allowed",
      "case-38 two labels": "403 port_not_allowed",
    });
  });

  test("a name that changes its address between check and dial is dialled where it was checked", () => {
    expectPlain({ rebinding: "200", "rebinding, a second time": "200", rebound: "403 always_blocked" });
    expect(seen.questions.filter(({ name, type }) => name === "rebind.example.com" && type === "A").length).toBe(1);
    expect(seen.connections.filter(({ address }) => address === "93.184.216.50").length).toBe(2);
  });

  test("case-42: the log names the engine and the address", () => {
    expect(permissive.stderr).toMatch(/DENIED .*engine:ssrf\].*127\.0\.0\.1/);
    expect(permissive.stderr).toMatch(/DENIED .*engine:ssrf\].*169\.254\.169\.254/);
  });

  test("case-45: loopback in allowed_ips is refused with the policy", async () => {
    const network = rule("own", "api.example.com", 80, [PERL], ', allowed_ips: ["127.0.0.0/8"]');
    const { exitCode, stderr } = await arena.runCommand(["/bin/true"], { network });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
    expect(stderr).toContain("allowed_ips");
  });

  test("this machine was never reached, and nothing blocked was connected to", () => {
    expect(canary.stdout.match(/REACHED/g)?.length).toBe(1);
    const reached = new Set(seen.connections.map(({ address }) => address));
    for (const address of [...Object.values(blocked), ...Object.values(internal)])
      expect(reached).not.toContain(address.replace("::ffff:", ""));
  });
});
