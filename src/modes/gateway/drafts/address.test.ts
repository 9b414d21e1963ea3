import { expect, test } from "bun:test";
import { classifyAddress, containsAddress, parseAddress } from "./address.ts";

const classes: [string, string][] = [
  ["8.8.8.8", "public"],
  ["93.184.216.34", "public"],
  ["2606:2800::1", "public"],
  ["10.1.2.3", "internal"],
  ["172.16.0.1", "internal"],
  ["192.168.1.1", "internal"],
  ["100.64.0.1", "internal"],
  ["192.0.0.8", "internal"],
  ["192.0.2.1", "internal"],
  ["198.18.0.1", "internal"],
  ["198.51.100.1", "internal"],
  ["203.0.113.1", "internal"],
  ["240.0.0.1", "internal"],
  ["fc00::1", "internal"],
  ["fd12:3456::1", "internal"],
  ["fec0::1", "internal"],
  ["2001:db8::1", "internal"],
  ["::ffff:10.0.0.1", "internal"],
  ["64:ff9b::a00:1", "internal"],
  ["2002:a00:1::", "internal"],
  ["127.0.0.1", "blocked"],
  ["0.0.0.0", "blocked"],
  ["0.1.2.3", "blocked"],
  ["169.254.1.1", "blocked"],
  ["224.0.0.1", "blocked"],
  ["255.255.255.255", "blocked"],
  ["::", "blocked"],
  ["::1", "blocked"],
  ["fe80::1", "blocked"],
  ["ff02::1", "blocked"],
  ["::ffff:127.0.0.1", "blocked"],
  ["::127.0.0.1", "blocked"],
  ["64:ff9b::7f00:1", "blocked"],
  ["2002:7f00:1::", "blocked"],
  ["100.100.100.200", "blocked"],
  ["168.63.129.16", "blocked"],
  ["fd00:ec2::254", "blocked"],
  ["::ffff:168.63.129.16", "blocked"],
];

for (const [text, expected] of classes) {
  test(`${text} is ${expected}`, () => {
    const address = parseAddress(text);
    expect(address && classifyAddress(address).class).toBe(expected as "public");
  });
}

test("only one spelling of an address is an address", () => {
  for (const text of [
    "0177.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "1.2.3.256",
    "1.2.3.4.5",
    "fe80::1%eth0",
    "[::1]",
    "1.2.3.4/24",
    "",
    "::g",
  ]) {
    expect([text, parseAddress(text)]).toEqual([text, undefined]);
  }
});

test("a range contains what is in it, by family, mapped addresses too", () => {
  const contains = (entry: string, text: string): boolean => {
    const address = parseAddress(text);
    return address !== undefined && containsAddress(entry, address);
  };
  expect(contains("10.0.0.0/8", "10.255.0.1")).toBe(true);
  expect(contains("10.0.0.0/8", "::ffff:10.255.0.1")).toBe(true);
  expect(contains("10.1.2.3", "10.1.2.3")).toBe(true);
  expect(contains("fd00::/8", "fd12::1")).toBe(true);
  expect(contains("10.0.0.0/8", "11.0.0.1")).toBe(false);
  expect(contains("0.0.0.0/0", "fd12::1")).toBe(false);
  expect(contains("10.0.0.0/33", "10.0.0.1")).toBe(false);
  expect(contains("nonsense", "10.0.0.1")).toBe(false);
});
