import { AF_INET, AF_INET6, toBinary } from "../netlink/address.ts";
import { BpfAssembler } from "./assembler.ts";
import type { BpfInstruction } from "./instruction.ts";

/** struct bpf_sk_lookup (include/uapi/linux/bpf.h): what is known of a packet that looks for a listener. Addresses in network order. */
const context = { family: 8, protocol: 12, remoteIpv4: 16, remoteIpv6: 20, localIpv4: 40, localIpv6: 44, localPort: 60 } as const;
/** enum bpf_func_id */
const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_SK_RELEASE = 86;
const BPF_SK_ASSIGN = 124;
const SK_PASS = 1;
const IPPROTO_TCP = 6;

/** Index of the listeners in the map. */
export const IPV4_LISTENER = 0;
export const IPV6_LISTENER = 1;

export interface Steering {
  /** Map with the two listeners. */
  readonly map: number;
  /** The only addresses that packets may come from; a forged one finds no listener. */
  readonly from: { readonly ipv4: string; readonly ipv6: string };
  /** This one address and port keeps its own listener. */
  readonly except: { readonly address: string; readonly port: number };
}

/**
 * A program that gives every TCP connection from the box, to whatever address and port, to one of two listeners. The accepted socket's
 * own address is where the program wanted to go. What it passes on is looked up as usual, and refused where nobody listens.
 */
export function steeringProgram({ map, from, except }: Steering): BpfInstruction[] {
  const code = new BpfAssembler();
  code.move("r6", "r1");
  code.load32("r2", "r6", context.protocol).ifNotEqual("r2", IPPROTO_TCP, "pass");
  code.load32("r2", "r6", context.family).ifEqual("r2", AF_INET, "ipv4").ifNotEqual("r2", AF_INET6, "pass");
  for (const [index, part] of words(from.ipv6).entries())
    code.load32("r2", "r6", context.remoteIpv6 + 4 * index).ifNotEqual("r2", part, "pass");
  code.move("r3", IPV6_LISTENER).goto("choose");

  code.label("ipv4");
  for (const part of words(from.ipv4)) code.load32("r2", "r6", context.remoteIpv4).ifNotEqual("r2", part, "pass");
  code.move("r3", IPV4_LISTENER);
  for (const part of words(except.address)) code.load32("r2", "r6", context.localIpv4).ifNotEqual("r2", part, "choose");
  code.load32("r2", "r6", context.localPort).ifEqual("r2", except.port, "pass");

  code.label("choose");
  code.store32("r10", -4, "r3").move("r2", "r10").add("r2", -4);
  code.loadMap("r1", map).call(BPF_MAP_LOOKUP_ELEM).ifNull("r0", "pass");
  // The looked-up socket is ours until it is released, whatever the assignment says.
  code.move("r7", "r0").move("r1", "r6").move("r2", "r7").move("r3", 0).call(BPF_SK_ASSIGN);
  code.move("r1", "r7").call(BPF_SK_RELEASE);
  return code.label("pass").move("r0", SK_PASS).exit().assemble();
}

/** An address as the program reads it: words in network order, seen by a little-endian processor. */
function words(address: string): number[] {
  const bytes = Buffer.from(toBinary(address).bytes);
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readInt32LE(index * 4));
}
