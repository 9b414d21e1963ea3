import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { AddressSet } from "../../../address/address-set.ts";
import { Aggregator, type Emission } from "./aggregator.ts";
import type { Denial } from "./denial.ts";
import { proposeEndpoint, ruleName } from "./mechanistic.ts";
import { whyNotProposed } from "./not-proposed.ts";

const base: Denial = {
  time: 1000,
  host: "api.some-host.example",
  port: 8443,
  protocol: "tcp",
  binary: "/usr/bin/tool",
  ancestors: ["/bin/bash"],
  sha256: "",
  commandLine: "tool --token abc",
  reason: "no",
  code: "host_not_allowed",
  stage: "connect",
  address: "",
  decision: "deny",
};

function emission(more: Partial<Denial> = {}, times = 1): Emission {
  const aggregator = new Aggregator();
  for (let i = 0; i < times; i++) aggregator.observe({ ...base, ...more });
  return aggregator.due(2000)[0]!;
}
const propose = (more: Partial<Denial> = {}, addresses?: string[], times = 1) =>
  proposeEndpoint(emission(more, times), addresses, new AddressSet(["10.50.0.0/16"]));

describe("a stage-1 proposal", () => {
  test("names exactly the host, the port and the executable, and says plainly what it lets through", () => {
    const chunk = propose({}, undefined, 4);
    expect(chunk.ruleName).toMatch(/^allow_api_some_host_example_8443_[0-9a-f]{6}$/);
    expect(chunk.proposedRule?.endpoints).toMatchObject([
      { host: "api.some-host.example", ports: [8443], allowedIps: [], protocol: "rest", tls: 0, access: 3, enforcement: 2 },
    ]);
    expect(chunk.proposedRule?.binaries).toMatchObject([{ path: "/usr/bin/tool", selfOnly: true }]);
    expect(chunk).toMatchObject({ stage: "initial", hitCount: 4, binary: "/usr/bin/tool", analysisMode: "mechanistic" });
    expect(chunk.rationale).toContain("ANY request of this program to this host and port through, uploads included");
    expect(chunk.rationale).toContain("each is logged, none is refused");
    expect(chunk.sampleCmdlines).toEqual(["tool --token [REDACTED]"]);
  });

  test("where no HTTP is spoken the connection is plain, and the text says so", () => {
    for (const port of [22, 5432, 6379, 9092]) {
      const chunk = propose({ port });
      expect(chunk.proposedRule?.endpoints).toMatchObject([{ ports: [port], protocol: "", access: 0, enforcement: 0 }]);
      expect(chunk.rationale).toContain("not looked at");
    }
  });

  test("a private address is named alone, or by the operator's own range", () => {
    expect(propose({}, ["10.9.0.1"]).proposedRule?.endpoints[0]?.allowedIps).toEqual(["10.9.0.1/32"]);
    expect(propose({}, ["10.50.0.1", "10.50.0.2"]).proposedRule?.endpoints[0]?.allowedIps).toEqual(["10.50.0.0/16"]);
    expect(propose({}, ["fd12::1", "93.184.216.34"]).proposedRule?.endpoints[0]?.allowedIps).toEqual(["fd12::1/128", "93.184.216.34/32"]);
    expect(propose({}, ["93.184.216.34"]).proposedRule?.endpoints[0]?.allowedIps).toEqual([]);
  });

  test("confidence has the numbers of its parts", () => {
    const confidences: [Partial<Denial>, number, number][] = [
      [{}, 1, 0.5],
      [{}, 3, 0.6],
      [{}, 10, 0.7],
      [{ stage: "ssrf" }, 1, 0.3],
      [{ binary: "/usr/bin/python3.12" }, 1, 0.4],
      [{ binary: "/usr/bin/curl", stage: "ssrf" }, 1, 0.2],
      [{ binary: "/usr/bin/git", port: 443 }, 10, 0.85],
    ];
    for (const [more, times, expected] of confidences) expect(propose(more, undefined, times).confidence).toBeCloseTo(expected, 5);
  });

  test("threat-14: names differ where hosts only look alike", () => {
    expect(ruleName("a-b.example", 443, ["/x"])).not.toBe(ruleName("a.b.example", 443, ["/x"]));
    expect(ruleName("a.b.example", 443, ["/x"])).not.toBe(ruleName("a.b.example", 443, ["/y"]));
    expect(ruleName(`${"a".repeat(60)}.`.repeat(4), 443, ["/x"]).length).toBeLessThanOrEqual(248);
  });
});

describe("no proposal", () => {
  const refused: [string, Partial<Denial>, RegExp][] = [
    ["threat-04: an executable named **", { binary: "/tmp/**" }, /pattern/],
    ["threat-04: an executable with a bracket", { binary: "/tmp/[a-z]" }, /pattern/],
    ["threat-04: an executable with braces", { binary: "/tmp/{a,b}" }, /pattern/],
    ["threat-04: a question mark", { binary: "/tmp/a?" }, /pattern/],
    ["threat-04: host *.evil.com", { host: "*.evil.com" }, /pattern/],
    ["threat-19: a path that is not printable", { binary: "/tmp/\u202ecurl" }, /cannot be shown/],
    ["threat-19: a path with a newline", { binary: "/tmp/a\nb" }, /cannot be shown/],
    ["a relative path", { binary: "curl" }, /absolute/],
    ["threat-33: our own executable", { binary: "/opt/openshell" }, /OpenShell/],
    ["threat-33: our own executable elsewhere", { binary: "/own/path" }, /OpenShell/],
    ["a host that is not canonical", { host: "A.example" }, /canonical/],
    ["localhost", { host: "localhost" }, /this machine/],
    ["a name under localhost", { host: "x.localhost" }, /this machine/],
    ["cloud metadata by name", { host: "metadata.google.internal" }, /metadata/],
    ["cloud metadata by address", { host: "169.254.169.254" }, /always blocked/],
    ["loopback", { host: "127.0.0.1" }, /always blocked/],
    ["loopback over IPv6", { host: "::1" }, /always blocked/],
    ["the kubelet", { port: 10250 }, /controls/],
    ["the container engine", { port: 2375 }, /controls/],
    ["UDP", { protocol: "udp" }, /TCP/],
    ["an address of the host itself", { stage: "ssrf", code: "own_address" }, /own_address/],
    ["what was let through and logged", { stage: "l7_audit" }, /let through/],
  ];
  for (const [name, more, why] of refused) {
    test(name, () => expect(whyNotProposed(emission(more).entry, ["/own/path"])).toMatch(why));
  }

  test("threat-04: whatever the agent names its files and hosts, a rule matches exactly one of each", () => {
    const alphabet = "abz09./-_*?[]{}\\ \n\u00e9\u202e$'\"";
    const letters = [...alphabet];
    // Short enough that a good part of the names has no odd character at all.
    const word = () => [...randomBytes(1 + ((randomBytes(1)[0] ?? 0) % 6))].map((byte) => letters[byte % letters.length]).join("");
    let proposed = 0;
    for (let i = 0; i < 5000; i++) {
      const one = emission({ binary: `/${word()}`, host: i % 2 === 0 ? "a.example" : `${word()}.example` });
      if (whyNotProposed(one.entry, []) !== undefined) continue;
      proposed++;
      const rule = proposeEndpoint(one, undefined, new AddressSet([])).proposedRule;
      for (const text of [rule?.endpoints[0]?.host, rule?.binaries[0]?.path]) expect(text).toMatch(/^[\x21-\x7e]+$/);
      for (const text of [rule?.endpoints[0]?.host, rule?.binaries[0]?.path]) expect(text).not.toMatch(/[*?[\]{}]/);
      expect(rule?.endpoints).toHaveLength(1);
      expect(rule?.binaries).toHaveLength(1);
    }
    expect(proposed).toBeGreaterThan(50);
  });
});
