import { expect, test } from "bun:test";
import { unroutable } from "./unroutable.ts";

test("threat-27 the network of the sandbox itself is no destination", () => {
  for (const address of [
    "10.200.0.0",
    "10.200.0.1",
    "10.200.0.2",
    "10.200.0.77",
    "10.200.0.255",
    "fd00::",
    "fd00::1",
    "fd00::2",
    "fd00::ffff:1",
  ])
    expect([address, unroutable(address)?.code]).toEqual([address, "own_address"]);
});

test("threat-27 link-local, multicast, unspecified, loopback and metadata addresses are no destinations", () => {
  const blocked = ["169.254.169.254", "169.254.0.1", "224.0.0.1", "239.1.2.3", "255.255.255.255", "0.0.0.0", "127.0.0.1"];
  for (const address of [
    ...blocked,
    "fe80::1",
    "ff02::1",
    "::",
    "::1",
    "fd00:ec2::254",
    "64:ff9b::a9fe:a9fe",
    "100.100.100.200",
    "nonsense",
  ])
    expect([address, unroutable(address)?.code]).toEqual([address, "always_blocked"]);
});

test("everything else is a matter of policy", () => {
  for (const address of [
    "93.184.216.34",
    "10.1.2.3",
    "10.200.1.1",
    "10.199.255.255",
    "192.168.1.1",
    "fd00:0:0:1::1",
    "fd12::1",
    "2606:2800::1",
  ])
    expect([address, unroutable(address)]).toEqual([address, undefined]);
});
