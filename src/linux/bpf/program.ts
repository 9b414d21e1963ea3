import { KernelError } from "../kernel-error.ts";
import { addressOf, check, cString, syscall } from "../libc.ts";
import { type BpfInstruction, encodeBpf } from "./instruction.ts";

/** Commands of bpf(2) (enum bpf_cmd) and the parts of union bpf_attr that they take (include/uapi/linux/bpf.h). */
const BPF_MAP_CREATE = 0;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_PROG_LOAD = 5;
const BPF_LINK_CREATE = 28;
const BPF_MAP_TYPE_SOCKMAP = 15;
const BPF_PROG_TYPE_SK_LOOKUP = 30;
const BPF_SK_LOOKUP = 36;
/** What the verifier writes about a program of a few dozen instructions, with room. */
const VERIFIER_LOG_BYTES = 65_536;
const remedy = "use a kernel of 5.9 or newer with CONFIG_BPF_SYSCALL, as root with CAP_BPF and CAP_NET_ADMIN";

/** A map of sockets that a program can choose from; its descriptor. */
export function createSocketMap(entries: number): number {
  const KEY_BYTES = 4;
  const VALUE_BYTES = 8;
  const attributes = Buffer.alloc(72);
  for (const [index, value] of [BPF_MAP_TYPE_SOCKMAP, KEY_BYTES, VALUE_BYTES, entries].entries())
    attributes.writeUInt32LE(value, index * 4);
  return check(syscall("bpf", BPF_MAP_CREATE, attributes, attributes.length), "bpf", "create socket map", remedy);
}

/** Puts a listening socket into a map; it leaves by itself when it is closed. */
export function putSocket(map: number, index: number, socket: number): void {
  const key = new Uint32Array([index]);
  const value = new BigUint64Array([BigInt(socket)]);
  const attributes = Buffer.alloc(32);
  attributes.writeUInt32LE(map, 0);
  attributes.writeBigUInt64LE(addressOf(key), 8);
  attributes.writeBigUInt64LE(addressOf(value), 16);
  check(syscall("bpf", BPF_MAP_UPDATE_ELEM, attributes, attributes.length), "bpf", "put a socket into the map", remedy);
  keepUntilHere(key, value);
}

/** Loads a program that chooses the listening socket of a new connection. What the verifier says is in the error. */
export function loadSocketLookup(program: readonly BpfInstruction[]): number {
  const code = encodeBpf(program);
  const licence = cString("Apache-2.0");
  const name = Buffer.from("openshell\0");
  const load = (log: Buffer | undefined): number => {
    const attributes = Buffer.alloc(144);
    attributes.writeUInt32LE(BPF_PROG_TYPE_SK_LOOKUP, 0);
    attributes.writeUInt32LE(program.length, 4);
    attributes.writeBigUInt64LE(addressOf(code), 8);
    attributes.writeBigUInt64LE(addressOf(licence), 16);
    if (log !== undefined) {
      attributes.writeUInt32LE(1, 24);
      attributes.writeUInt32LE(log.length, 28);
      attributes.writeBigUInt64LE(addressOf(log), 32);
    }
    attributes.set(name, 48);
    attributes.writeUInt32LE(BPF_SK_LOOKUP, 68);
    return syscall("bpf", BPF_PROG_LOAD, attributes, attributes.length);
  };
  const loaded = load(undefined);
  keepUntilHere(code, licence);
  if (loaded >= 0) return loaded;
  // Again, to hear why: writing the log costs time that a good program need not spend.
  const log = Buffer.alloc(VERIFIER_LOG_BYTES);
  const result = load(log);
  keepUntilHere(code, licence, log);
  if (result >= 0) return result;
  throw new KernelError("bpf", -result, describeLog(log), remedy);
}

/** Lets a program decide for a whole network namespace, for as long as the returned descriptor is open somewhere. */
export function attachToNamespace(program: number, networkNamespace: number): number {
  const attributes = Buffer.alloc(64);
  attributes.writeUInt32LE(program, 0);
  attributes.writeUInt32LE(networkNamespace, 4);
  attributes.writeUInt32LE(BPF_SK_LOOKUP, 8);
  return check(syscall("bpf", BPF_LINK_CREATE, attributes, attributes.length), "bpf", "attach to the network namespace", remedy);
}

function describeLog(log: Buffer): string {
  const text = log.toString("latin1", 0, Math.max(0, log.indexOf(0))).trim();
  return text === "" ? "load program" : `load program; the verifier says:\n${text}`;
}

/** The kernel knows these buffers by address alone; a mention after the call keeps them from being collected before it. */
function keepUntilHere(...buffers: readonly NodeJS.TypedArray[]): void {
  kept.buffers = buffers;
}
const kept: { buffers: readonly NodeJS.TypedArray[] } = { buffers: [] };
