import { expect, test } from "bun:test";
import { canonicalAddress, classifyAddress } from "./address-class.ts";
import { AddressSet } from "./address-set.ts";

const classes = {
  public: [
    "8.8.8.8",
    "93.184.216.34",
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "11.0.0.0",
    "198.17.255.255",
    "2606:4700::1",
    "2a00:1450:4001:80b::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
  ],
  internal: [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "240.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::808:808",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2001:0:808:808::f7f7:f7f7",
    "2001:db8::1",
    "2001:2::1",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "100::1",
    "5f00::1",
    "4000::1",
    "::808:808",
  ],
  blocked: [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
    "2001:0:808:808::80ff:fffe",
    "2600::5efe:127.0.0.1",
    "2600::200:5efe:a9fe:a9fe",
    "not an address",
    "0177.0.0.1",
    "1.2.3",
    "fe80::1%eth0",
    "",
  ],
} as const;
for (const [name, list] of Object.entries(classes))
  for (const address of list)
    test(`case-48, threat-24: ${address || "nothing"} is ${name}`, () => expect(classifyAddress(address)).toBe(name as never));

test("one spelling per address", () => {
  expect(canonicalAddress("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(canonicalAddress("2001:DB8:0:0::1")).toBe("2001:db8::1");
  expect(canonicalAddress("example.com")).toBeUndefined();
});

test("a set holds networks and bare addresses, and unreadable entries permit nothing", () => {
  const set = new AddressSet(["10.0.0.0/8", "192.168.1.7", "fd00::/8", "nonsense", "1.2.3.4/33", "10/8", "::ffff:172.16.0.0/108"]);
  expect(["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd12::1", "172.16.9.9"].every((address) => set.has(address))).toBe(true);
  expect(["11.0.0.1", "192.168.1.8", "1.2.3.4", "fe80::1", "172.32.0.1"].some((address) => set.has(address))).toBe(false);
  expect(set.containing("10.1.2.3")).toBe("10.0.0.0/8");
});
