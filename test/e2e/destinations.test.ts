/** Where an allowed name may lead: address classes, allowed_ips, trusted ranges, own addresses, and one resolution per connection. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { missingForTestInternet, openTestInternet, type TestInternet } from "../internet/open.ts";
import { HOST } from "../internet/topology.ts";
import { Installation, missingBinary } from "./installation.ts";
import { allowed } from "./programs.ts";

const missing = missingForTestInternet() ?? missingBinary();
if (missing !== undefined) console.log(`skipped: destinations: ${missing}`);

const POLICY = `version: 1
network_policies:
  destinations:
    endpoints:
      - { host: listed.example.com, ports: [80, 2379], allowed_ips: [10.1.2.0/24] }
      - { host: wrong-list.example.com, port: 80, allowed_ips: [10.9.0.0/16] }
      - { host: trusted.example.com, port: 80 }
      - { host: 10.1.2.9, port: 80 }
      - { host: self.example.com, ports: [80, 17670], allowed_ips: [192.0.2.0/24, "fd77::/64"] }
      - { host: loopback.example.com, ports: [80, 17670] }
      - { host: mapped.example.com, port: 80 }
      - { host: rebinding.example.com, port: 80 }
      - { host: unknown.example.com, port: 80 }
    binaries: [{ path: ${allowed.path} }]
`;

const ZONES = {
  "listed.example.com": ["10.1.2.3"],
  "wrong-list.example.com": ["10.1.2.3"],
  "trusted.example.com": ["10.50.0.1"],
  "self.example.com": [HOST.ipv4, HOST.ipv6],
  "loopback.example.com": ["127.0.0.1"],
  "mapped.example.com": ["::ffff:10.1.2.3", "64:ff9b::a01:203"],
  "rebinding.example.com": [["93.184.216.34"], ["10.1.2.3"]],
} as const;

describe.skipIf(missing !== undefined)("destinations", () => {
  let net: TestInternet;
  let shell: Installation;

  beforeAll(async () => {
    net = await openTestInternet({ zones: ZONES });
    shell = new Installation(net);
    await shell.startGateway("--trusted-cidr", "10.50.0.0/16");
    await shell.create("places", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  async function reach(url: string) {
    const before = await net.seenWhenQuiet();
    const { exitCode, stdout, stderr } = await shell.exec("places", ...allowed.fetch(url));
    const after = await net.seenWhenQuiet();
    return {
      passed: exitCode === 0,
      output: stdout + stderr,
      packets: after.packets.tcp - before.packets.tcp,
      questions: after.questions.slice(before.questions.length),
    };
  }

  async function expectRefused(url: string): Promise<string> {
    const { passed, packets, output } = await reach(url);
    expect({ url, passed, packets, output }).toEqual({ url, passed: false, packets: 0, output });
    return output;
  }

  test("a private address passes with allowed_ips that contain it, and only then", async () => {
    expect(await reach("http://listed.example.com/")).toMatchObject({ passed: true });
    await expectRefused("http://wrong-list.example.com/");
  });

  test("a private literal declared as the host is its own permission", async () => {
    expect(await reach("http://10.1.2.9/")).toMatchObject({ passed: true });
    await expectRefused("http://10.1.2.10/");
  });

  test("a trusted range of the operator admits what the policy names, and allows nothing by itself", async () => {
    expect(await reach("http://trusted.example.com/")).toMatchObject({ passed: true });
    await expectRefused("http://10.50.0.1/");
  });

  test("a control-plane port on a private address is refused, listed or not", async () => {
    await expectRefused("http://listed.example.com:2379/");
  });

  test("threat-24 the host's own addresses and its gateway are out of reach, under any name", async () => {
    for (const port of ["", ":17670"]) {
      await expectRefused(`http://self.example.com${port}/`);
      await expectRefused(`http://loopback.example.com${port}/`);
    }
  });

  test("addresses that embed a private one are classed by it", async () => {
    await expectRefused("http://mapped.example.com/");
  });

  test("an allowed name is resolved once, and the answer that was checked is the one that is dialled", async () => {
    const first = await reach("http://rebinding.example.com/");
    expect(first).toMatchObject({ passed: true });
    expect(JSON.parse(first.output).address).toBe("93.184.216.34");
    expect(first.questions.filter(({ type }) => type === "A").length).toBe(1);
    for (let i = 0; i < 3; i++) {
      const again = await reach("http://rebinding.example.com/");
      // From the cache, or asked anew and refused: never the private address.
      if (again.passed) expect(JSON.parse(again.output).address).toBe("93.184.216.34");
      else expect(again.packets).toBe(0);
    }
  });

  test("a name that does not exist is a 502, not a denial", async () => {
    const { passed, output } = await reach("http://unknown.example.com/");
    expect(passed).toBe(false);
    expect(output).toContain("502");
  });
});
