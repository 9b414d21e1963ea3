/** The filters run in the kernel here, on Unix sockets: a filter sees the bytes of a datagram as it sees those of a packet. */
import { afterAll, describe, expect, test } from "bun:test";
import { closeAll } from "../descriptors.ts";
import { check, syscall } from "../libc.ts";
import { toBinary } from "../netlink/address.ts";
import type { Instruction } from "../seccomp/assembler.ts";
import { parsePacket } from "./packet.ts";
import { datagramFilter, SNAPSHOT_BYTES, tcpOpeningFilter } from "./packet-filter.ts";
import { attachFilter, receivePacket } from "./packet-socket.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;
const opened: number[] = [];
afterAll(() => closeAll(opened));

/** What is left of a packet behind the filter; undefined when it was dropped. */
function through(filter: readonly Instruction[]): (packet: Buffer) => Buffer | undefined {
  const pair = new Int32Array(2);
  check(syscall("socketpair", AF_UNIX, SOCK_DGRAM_NONBLOCK, 0, pair), "socketpair");
  const [sender, receiver] = [pair[0]!, pair[1]!];
  opened.push(sender, receiver);
  attachFilter(receiver, filter);
  return (packet) => {
    syscall("write", sender, packet, packet.length); // EPERM when the filter drops it
    const buffer = Buffer.alloc(SNAPSHOT_BYTES);
    const size = receivePacket(receiver, buffer);
    return size === undefined ? undefined : buffer.subarray(0, size);
  };
}

interface Made {
  readonly to: string;
  readonly port: number;
  readonly protocol?: number;
  readonly flags?: number;
  readonly fragment?: number;
  readonly options?: number;
}

function ipv4({ to, port, protocol = 6, flags = 2, fragment = 0, options = 0 }: Made): Buffer {
  const header = Buffer.alloc(20 + options);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(fragment, 6);
  header[9] = protocol;
  header.set(toBinary("10.200.0.2").bytes, 12);
  header.set(toBinary(to).bytes, 16);
  return Buffer.concat([header, transport(port, flags), Buffer.alloc(1000, 0x99)]);
}

function ipv6({ to, port, protocol = 6, flags = 2, fragment }: Made): Buffer {
  const header = Buffer.alloc(fragment === undefined ? 40 : 48);
  header[0] = 0x60;
  header[6] = fragment === undefined ? protocol : 44;
  header.set(toBinary("fd00::2").bytes, 8);
  header.set(toBinary(to).bytes, 24);
  if (fragment !== undefined) {
    header[40] = protocol;
    header.writeUInt16BE(fragment, 42);
  }
  return Buffer.concat([header, transport(port, flags)]);
}

function transport(port: number, flags: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(40_000, 0);
  header.writeUInt16BE(port, 2);
  header[13] = flags;
  return header;
}

const [SYN, SYN_ACK, ACK, RST, UDP] = [0x02, 0x12, 0x10, 0x04, 17];
const PROXY = { address: "10.200.0.1", port: 3128 };

describe("opening packets of TCP", () => {
  const pass = through(tcpOpeningFilter(PROXY));

  test("are kept, cut to the headers, and say who wanted to go where", () => {
    const kept = pass(ipv4({ to: "93.184.216.34", port: 443 }));
    expect(kept?.length).toBe(SNAPSHOT_BYTES);
    expect(parsePacket(kept!)).toEqual({
      protocol: 6,
      source: { address: "10.200.0.2", port: 40_000 },
      destination: { address: "93.184.216.34", port: 443 },
    });
    expect(parsePacket(pass(ipv4({ to: "1.2.3.4", port: 22, options: 40 }))!)?.destination).toEqual({ address: "1.2.3.4", port: 22 });
    expect(parsePacket(pass(ipv6({ to: "2606:2800::1", port: 22 }))!)?.destination).toEqual({ address: "2606:2800::1", port: 22 });
    expect(pass(ipv4({ to: "1.2.3.4", port: 22, flags: SYN | 0xc0 }))).toBeDefined(); // with ECN
  });

  test("to the proxy are the right way and not kept; its port elsewhere and its other ports are", () => {
    expect(pass(ipv4({ to: PROXY.address, port: PROXY.port }))).toBeUndefined();
    expect(pass(ipv4({ to: PROXY.address, port: PROXY.port, options: 8 }))).toBeUndefined();
    expect(pass(ipv4({ to: "93.184.216.34", port: PROXY.port }))).toBeDefined();
    expect(pass(ipv4({ to: PROXY.address, port: 22 }))).toBeDefined();
  });

  test("nothing else is kept", () => {
    for (const flags of [SYN_ACK, ACK, RST, 0]) {
      expect(pass(ipv4({ to: "1.2.3.4", port: 22, flags }))).toBeUndefined();
      expect(pass(ipv6({ to: "2606:2800::1", port: 22, flags }))).toBeUndefined();
    }
    expect(pass(ipv4({ to: "1.2.3.4", port: 53, protocol: UDP }))).toBeUndefined();
    expect(pass(ipv6({ to: "2606:2800::1", port: 53, protocol: UDP }))).toBeUndefined();
    expect(pass(ipv4({ to: "1.2.3.4", port: 22, fragment: 5 }))).toBeUndefined();
    expect(pass(Buffer.from([0x45, 0, 0]))).toBeUndefined();
    expect(pass(Buffer.alloc(60))).toBeUndefined();
  });
});

describe("datagrams of UDP", () => {
  const pass = through(datagramFilter());

  test("are kept, of both families, and of fragments the first", () => {
    for (const packet of [
      ipv4({ to: "8.8.8.8", port: 53, protocol: UDP }),
      ipv4({ to: "8.8.8.8", port: 53, protocol: UDP, fragment: 0x2000 }),
    ])
      expect(parsePacket(pass(packet)!)?.destination).toEqual({ address: "8.8.8.8", port: 53 });
    for (const packet of [
      ipv6({ to: "2001:4860::8888", port: 53, protocol: UDP }),
      ipv6({ to: "2001:4860::8888", port: 53, protocol: UDP, fragment: 1 }),
    ])
      expect(parsePacket(pass(packet)!)).toMatchObject({ protocol: UDP, destination: { address: "2001:4860::8888", port: 53 } });
  });

  test("nothing else is kept", () => {
    expect(pass(ipv4({ to: "8.8.8.8", port: 53 }))).toBeUndefined();
    expect(pass(ipv4({ to: "8.8.8.8", port: 53, protocol: UDP, fragment: 5 }))).toBeUndefined();
    expect(pass(ipv6({ to: "2001:4860::8888", port: 53 }))).toBeUndefined();
    expect(pass(ipv6({ to: "2001:4860::8888", port: 53, protocol: UDP, fragment: 8 }))).toBeUndefined();
    expect(pass(ipv6({ to: "2001:4860::8888", port: 53, fragment: 1 }))).toBeUndefined();
  });
});

test("a packet that is cut short has no ends", () => {
  const packet = ipv4({ to: "1.2.3.4", port: 22 });
  for (const size of [0, 1, 19, 23]) expect(parsePacket(packet.subarray(0, size))).toBeUndefined();
  expect(parsePacket(ipv6({ to: "2606:2800::1", port: 22 }).subarray(0, 43))).toBeUndefined();
  expect(parsePacket(Buffer.from([0x41, ...new Uint8Array(60)]))).toBeUndefined();
});
