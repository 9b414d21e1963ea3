import { OpenShellError } from "../../../error.ts";

/** One message. OpenSSH's own limit: clients ask for at most 255 KiB of data at a time. */
export const MAX_PACKET_BYTES = 256 * 1024;

/** Types of messages (draft-ietf-secsh-filexfer-02, section 3). */
export const PACKET = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attributes: 105,
  extended: 200,
  extendedReply: 201,
} as const;

/** Status codes (section 7). */
export const STATUS = { ok: 0, eof: 1, noSuchFile: 2, permissionDenied: 3, failure: 4, badMessage: 5, unsupported: 8 } as const;

/** Cuts a stream into messages, without their length. Throws when one is longer than allowed. */
export class PacketCutter {
  #rest = Buffer.alloc(0);

  push(bytes: Uint8Array): Buffer[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const packets: Buffer[] = [];
    while (this.#rest.length >= 4) {
      const length = this.#rest.readUInt32BE(0);
      if (length === 0 || length > MAX_PACKET_BYTES) {
        throw new OpenShellError("invalid_argument", `a message of ${length} bytes, from 1 to ${MAX_PACKET_BYTES} are accepted`);
      }
      if (this.#rest.length < 4 + length) break;
      packets.push(this.#rest.subarray(4, 4 + length));
      this.#rest = this.#rest.subarray(4 + length);
    }
    return packets;
  }
}

/** Reads the fields of a message in order; throws `invalid_argument` where it ends too soon. */
export class PacketReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    return this.#take(1).readUInt8(0);
  }

  uint32(): number {
    return this.#take(4).readUInt32BE(0);
  }

  /** Sizes and offsets; above 2^53 no file can be. */
  uint64(): number {
    const value = this.#take(8).readBigUInt64BE(0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new OpenShellError("invalid_argument", "a number is too large");
    return Number(value);
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  text(): string {
    return this.string().toString();
  }

  /** A file name as the bytes it is. */
  path(): Buffer {
    const path = this.string();
    if (path.includes(0)) throw new OpenShellError("invalid_argument", "a file name contains a NUL byte");
    return path.length === 0 ? Buffer.from(".") : path;
  }

  #take(count: number): Buffer {
    if (count > this.left) throw new OpenShellError("invalid_argument", "the message ends within a field");
    const piece = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return piece;
  }
}

/** Builds one message, with its length in front. */
export class PacketWriter {
  readonly #pieces: Uint8Array[] = [];

  constructor(type: number) {
    this.byte(type);
  }

  byte(value: number): this {
    this.#pieces.push(Uint8Array.of(value));
    return this;
  }

  uint32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    this.#pieces.push(bytes);
    return this;
  }

  uint64(value: number | bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)));
    this.#pieces.push(bytes);
    return this;
  }

  string(value: Uint8Array | string): this {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    this.uint32(bytes.length);
    this.#pieces.push(bytes);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#pieces.push(bytes);
    return this;
  }

  finish(): Buffer {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(this.#pieces.reduce((sum, { length: bytes }) => sum + bytes, 0));
    return Buffer.concat([length, ...this.#pieces]);
  }
}
