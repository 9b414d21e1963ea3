import { expect, test } from "bun:test";
import { NoProxyList } from "./no-proxy.ts";

const covered = (entries: string[], host: string, port = 443) => new NoProxyList(entries).has(host, port);

test("a domain is itself and everything below it, however its dot is written", () => {
  for (const entry of ["corp.example", ".corp.example", "*.corp.example", "CORP.example."]) {
    expect([entry, covered([entry], "corp.example"), covered([entry], "a.b.corp.example")]).toEqual([entry, true, true]);
    expect([entry, covered([entry], "xcorp.example"), covered([entry], "corp.example.org")]).toEqual([entry, false, false]);
  }
});

test("addresses and networks are compared with literal addresses", () => {
  const list = ["10.0.0.0/8", "192.0.2.7", "fd00::/8", "[2001:db8::1]:8443", "2001:db8::2"];
  for (const host of ["10.1.2.3", "192.0.2.7", "fd12::1", "2001:db8::2"]) expect([host, covered(list, host)]).toEqual([host, true]);
  for (const host of ["11.0.0.1", "192.0.2.8", "fe80::1", "2001:db8::1", "ten.example"])
    expect([host, covered(list, host)]).toEqual([host, false]);
  expect(covered(list, "2001:db8::1", 8443)).toBe(true);
});

test("a port limits an entry", () => {
  expect([covered(["git.example:22"], "git.example", 22), covered(["git.example:22"], "git.example", 443)]).toEqual([true, false]);
  expect([covered(["10.0.0.0/8:80"], "10.0.0.1", 80), covered(["10.0.0.0/8:80"], "10.0.0.1", 81)]).toEqual([true, false]);
});

test("what would match nothing or everything is an error", () => {
  for (const entry of [
    "*",
    "",
    ".",
    "a b",
    "http://x.example",
    "10.0.0.0/33",
    "10.0.0.300",
    "x.example:0",
    "x.example:70000",
    "*.*.x",
    "x/24",
  ])
    expect(() => new NoProxyList([entry])).toThrow("is no domain, address or CIDR");
});
