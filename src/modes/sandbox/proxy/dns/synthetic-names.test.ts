import { expect, test } from "bun:test";
import { isSynthetic, MAX_NAMES, SyntheticNames } from "./synthetic-names.ts";

test("a name keeps its addresses, and each address its name", () => {
  const names = new SyntheticNames(["gateway.openshell.internal"]);
  expect(names.addressesOf("gateway.openshell.internal")).toEqual({ ipv4: "198.18.0.1", ipv6: "2001:2::1" });
  expect(names.addressesOf("a.example")).toEqual({ ipv4: "198.18.0.2", ipv6: "2001:2::2" });
  expect(names.addressesOf("b.example")).toEqual({ ipv4: "198.18.0.3", ipv6: "2001:2::3" });
  expect(names.addressesOf("a.example")).toEqual({ ipv4: "198.18.0.2", ipv6: "2001:2::2" });
  expect(names.nameOf("198.18.0.3")).toBe("b.example");
  expect(names.nameOf("2001:2::3")).toBe("b.example");
  expect(names.size).toBe(3);
});

test("threat-28 16,384 names have 16,384 different addresses of each family, and no other name has one", () => {
  const names = new SyntheticNames();
  const given = new Set<string>();
  for (let index = 0; index < MAX_NAMES; index++) {
    const name = `n${index}.example`;
    const { ipv4, ipv6 } = names.addressesOf(name)!;
    given.add(ipv4).add(ipv6);
    if (!isSynthetic(ipv4) || !isSynthetic(ipv6) || names.nameOf(ipv4) !== name || names.nameOf(ipv6) !== name)
      throw new Error(`${name} ${ipv4} ${ipv6}`);
  }
  expect(given.size).toBe(2 * MAX_NAMES);
  expect(names.addressesOf("one.too.many")).toBeUndefined();
  expect(names.addressesOf("n0.example")).toEqual({ ipv4: "198.18.0.1", ipv6: "2001:2::1" });
  expect(names.size).toBe(MAX_NAMES);
});

test("other addresses stand for no name", () => {
  const names = new SyntheticNames();
  names.addressesOf("a.example");
  for (const address of [
    "198.18.0.0",
    "198.18.0.2",
    "198.19.255.255",
    "198.17.255.255",
    "93.184.216.34",
    "2001:2::",
    "2001:2::2",
    "2001:2:0:1::1",
    "2001:2::1:1",
    "",
    "x",
  ])
    expect([address, names.nameOf(address)]).toEqual([address, undefined]);
  expect(["198.18.0.0", "198.19.255.255", "2001:2::", "2001:2:0:ffff::1"].every(isSynthetic)).toBe(true);
  expect(["198.17.255.255", "198.20.0.0", "2001:2:1::1", "2001:1::1", "x"].some(isSynthetic)).toBe(false);
});
