/** Content type of a handshake record: the first byte of every TLS connection (RFC 8446 section 5.1). */
export const TLS_HANDSHAKE = 0x16;
/** A ClientHello with post-quantum key shares has 2 KB; the longest that OpenSSL reads is 128 KB, the longest of any client 16 KB. */
export const MAX_CLIENT_HELLO_BYTES = 32_768;

const RECORD_HEADER = 5;
const MAX_RECORD = 16_384;
const HANDSHAKE_HEADER = 4;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
const HOST_NAME = 0;

/** What a client says before anything is encrypted. */
export interface ClientHello {
  /** As sent; undefined when the client named none. */
  readonly serverName: string | undefined;
  /** Application protocols that it offers (RFC 7301), its favourite first. */
  readonly protocols: readonly string[];
}

export type HelloResult =
  /** More bytes are needed. */
  { readonly kind: "incomplete" } | ({ readonly kind: "hello" } & ClientHello) | { readonly kind: "invalid"; readonly reason: string };

const INCOMPLETE: HelloResult = { kind: "incomplete" };

/** Carries a fault out of the reader; never leaves this file. */
class Malformed extends Error {}

/** Reads the whole ClientHello from the start of a connection: call it again with everything received until it is not `incomplete`. */
export function readClientHello(bytes: Buffer): HelloResult {
  try {
    const message = handshakeMessage(bytes);
    return message === undefined ? INCOMPLETE : { kind: "hello", ...read(message) };
  } catch (error) {
    if (error instanceof Malformed) return { kind: "invalid", reason: error.message };
    throw error;
  }
}

/** The first handshake message, put together from its records; undefined: not all of it is here. */
function handshakeMessage(bytes: Buffer): Reader | undefined {
  const fragments: Buffer[] = [];
  let have = 0;
  for (let at = 0; bytes.length - at >= RECORD_HEADER; ) {
    const size = bytes.readUInt16BE(at + 3);
    if (bytes[at] !== TLS_HANDSHAKE || bytes[at + 1] !== 3) throw new Malformed("the first bytes are no TLS handshake");
    if (size === 0 || size > MAX_RECORD) throw new Malformed("TLS record of an impossible length");
    const fragment = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + size);
    fragments.push(fragment);
    have += fragment.length;
    at += RECORD_HEADER + size;
    const first = fragments[0] ?? fragment;
    if (first.length > 0 && first[0] !== CLIENT_HELLO) throw new Malformed("the first TLS message is no ClientHello");
    if (have < HANDSHAKE_HEADER) continue;
    const all = fragments.length === 1 ? first : Buffer.concat(fragments);
    const length = all.readUIntBE(1, 3);
    if (length + HANDSHAKE_HEADER > MAX_CLIENT_HELLO_BYTES) throw new Malformed(`ClientHello of ${length} bytes`);
    if (all.length >= HANDSHAKE_HEADER + length) return new Reader(all.subarray(HANDSHAKE_HEADER, HANDSHAKE_HEADER + length));
  }
  if (bytes.length > 2 * MAX_CLIENT_HELLO_BYTES) throw new Malformed("ClientHello in too many records");
  return undefined;
}

/** RFC 8446 section 4.1.2. */
function read(hello: Reader): ClientHello {
  hello.take(2 + 32); // legacy version, random
  hello.vector(1); // session id
  hello.vector(2); // cipher suites
  hello.vector(1); // compression methods
  let serverName: string | undefined;
  let protocols: readonly string[] = [];
  const extensions = new Reader(hello.empty ? Buffer.alloc(0) : hello.vector(2));
  while (!extensions.empty) {
    const type = extensions.number(2);
    const contents = new Reader(extensions.vector(2));
    if (type === ALPN) protocols = protocolsIn(contents);
    if (type !== SERVER_NAME) continue;
    if (serverName !== undefined) throw new Malformed("two server names in the ClientHello");
    serverName = serverNameIn(contents);
  }
  return { serverName, protocols };
}

/** RFC 6066 section 3: a list that holds one name in practice, and here. */
function serverNameIn(extension: Reader): string {
  const names = new Reader(extension.vector(2));
  if (names.number(1) !== HOST_NAME) throw new Malformed("server name of an unknown kind");
  const name = names.vector(2).toString("latin1");
  if (!names.empty) throw new Malformed("two server names in the ClientHello");
  return name;
}

function protocolsIn(extension: Reader): readonly string[] {
  const list = new Reader(extension.vector(2));
  const protocols: string[] = [];
  while (!list.empty) protocols.push(list.vector(1).toString("latin1"));
  return protocols;
}

/** Takes values from the front of bytes; a value that is not all there is a fault. */
class Reader {
  #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get empty(): boolean {
    return this.#bytes.length === 0;
  }

  take(size: number): Buffer {
    if (this.#bytes.length < size) throw new Malformed("ClientHello that ends early");
    const taken = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(size);
    return taken;
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }

  /** Bytes behind a length of `size` bytes. */
  vector(size: 1 | 2): Buffer {
    return this.take(this.number(size));
  }
}
