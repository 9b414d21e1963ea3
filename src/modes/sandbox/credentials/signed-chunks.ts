import { ByteBudget } from "../proxy/byte-budget.ts";
import { GrowingBuffer } from "../proxy/growing-buffer.ts";
import { HeadError } from "../proxy/http1/refused.ts";
import type { RequestBodyFilter } from "../proxy/inspect/ruling.ts";
import { EMPTY_PAYLOAD, type Scope, scopeText, sha256, signText } from "./sigv4.ts";

/**
 * The largest chunk. Its signature stands before its data, so that all of it has to be here before any of it can go on. SDKs make chunks of
 * 64 or 128 KiB; S3 asks for 8 KiB at least.
 */
export const MAX_SIGNED_CHUNK = 1024 * 1024;
/** S3 takes no smaller one but the last (`InvalidChunkSizeError`); each costs three hashes, so that many would keep us from others. */
const MIN_SIGNED_CHUNK = 8192;
/** Chunks that are being signed, of all requests of a sandbox: 64 of the largest. */
const MAX_CHUNKS_UNDER_WAY_BYTES = 64 * MAX_SIGNED_CHUNK;
/** `10000;chunk-signature=` and 64 digits are 87 bytes; nothing else is known to stand there. */
const MAX_LINE = 256;
/** Checksums and their signature; a server reads 8 KiB of trailer fields elsewhere too. */
const MAX_TRAILER = 8192;

const CHUNK_LINE = /^([0-9a-fA-F]{1,8});chunk-signature=[0-9a-fA-F]{64}$/;
const TRAILER_SIGNATURE = /(?:^|\r?\n)x-amz-trailer-signature:([0-9a-fA-F]{64})(?:\r?\n)*$/i;
const CRLF = Buffer.from("\r\n");
const NOTHING = Buffer.alloc(0);

const underWay = new ByteBudget(MAX_CHUNKS_UNDER_WAY_BYTES);

/** What the chunks of one request are signed with. */
export interface ChunkKeys {
  /** Of the day, region and service (`signingKey`). */
  readonly key: Buffer;
  readonly scope: Scope;
  readonly timestamp: string;
  /** The request's own signature, on which that of its first chunk rests. */
  readonly seed: string;
  /** Whether signed trailer fields follow the last chunk. */
  readonly trailer: boolean;
}

/**
 * Signs a body in the coding `aws-chunked` again, chunk by chunk as it passes ("Transferring Payload in Multiple Chunks", S3 API reference).
 * Each signature takes the place of the program's, which was made with a placeholder, so that the body stays as long as it was.
 */
export class SignedChunks implements RequestBodyFilter {
  readonly #keys: ChunkKeys;
  readonly #data = new GrowingBuffer(MAX_SIGNED_CHUNK, underWay);
  #previous: string;
  /** line: size and signature. data: of a chunk. end: CRLF behind it. trailer: all that follows the last chunk. over: nothing may follow. */
  #state: "line" | "data" | "end" | "trailer" | "over" = "line";
  /** Part of a line, of a chunk's CRLF, or of the trailer. */
  #text = "";
  #size = 0;
  /** The chunk before was so small that it must have been the last. */
  #small = false;

  constructor(keys: ChunkKeys) {
    this.#keys = keys;
    this.#previous = keys.seed;
  }

  body(piece: Buffer, last: boolean): Buffer {
    try {
      const out: Buffer[] = [];
      let at = 0;
      while (at < piece.length) at += this.#take(piece.subarray(at), out);
      if (last) this.#finish(out);
      return out.length === 1 ? (out[0] ?? NOTHING) : Buffer.concat(out);
    } catch (error) {
      this.drop();
      throw error;
    }
  }

  drop(): void {
    this.#data.drop();
  }

  /** How many bytes at the start were taken: all, or up to where the next part begins. */
  #take(bytes: Buffer, out: Buffer[]): number {
    switch (this.#state) {
      case "line":
        return this.#line(bytes);
      case "data":
        return this.#chunk(bytes, out);
      case "end":
        return this.#chunkEnd(bytes, out);
      case "trailer":
        this.#text += bytes.toString("latin1");
        if (this.#text.length > MAX_TRAILER) throw broken(`trailer fields of more than ${MAX_TRAILER} bytes`);
        return bytes.length;
      case "over":
        throw broken("bytes behind the last chunk");
    }
  }

  #line(bytes: Buffer): number {
    const end = bytes.indexOf("\n");
    const size = end < 0 ? bytes.length : end + 1;
    this.#text += bytes.toString("latin1", 0, Math.min(size, MAX_LINE));
    if (this.#text.length >= MAX_LINE) throw broken(`the line before a chunk has more than ${MAX_LINE} bytes`);
    if (end < 0) return size;
    const digits = this.#text.endsWith("\r\n") ? CHUNK_LINE.exec(this.#text.slice(0, -2))?.[1] : undefined;
    if (digits === undefined) throw broken("the line before a chunk is not SIZE;chunk-signature=SIGNATURE");
    this.#size = Number.parseInt(digits, 16);
    if (this.#size > MAX_SIGNED_CHUNK) throw broken(`a chunk of ${this.#size} bytes, at most ${MAX_SIGNED_CHUNK} are signed again`, 413);
    if (this.#size > 0 && this.#small) throw broken(`a chunk of less than ${MIN_SIGNED_CHUNK} bytes is not the last`);
    this.#small = this.#size < MIN_SIGNED_CHUNK;
    // Zeros in front count: the line stays as long as it was.
    this.#text = digits;
    this.#state = this.#size > 0 ? "data" : "end";
    return size;
  }

  #chunk(bytes: Buffer, out: Buffer[]): number {
    const size = Math.min(bytes.length, this.#size - this.#data.length);
    // A piece that is a whole chunk need not be kept.
    const whole = this.#data.length === 0 && size === this.#size;
    if (!whole && this.#data.append(bytes.subarray(0, size)) === undefined)
      throw broken(`the chunks being signed in this sandbox fill the ${MAX_CHUNKS_UNDER_WAY_BYTES} bytes that they may`, 503);
    if (!whole && this.#data.length < this.#size) return size;
    const data = whole ? bytes.subarray(0, size) : this.#data.bytes();
    out.push(this.#signedLine(data), data);
    this.#data.drop();
    this.#state = "end";
    return size;
  }

  #chunkEnd(bytes: Buffer, out: Buffer[]): number {
    if (this.#size === 0) {
      out.push(this.#signedLine(NOTHING));
      this.#text = "";
      this.#state = "trailer";
      return 0;
    }
    const size = Math.min(bytes.length, CRLF.length - this.#text.length);
    this.#text += bytes.toString("latin1", 0, size);
    if (!"\r\n".startsWith(this.#text)) throw broken("a chunk does not end in CRLF");
    if (this.#text.length < CRLF.length) return size;
    out.push(CRLF);
    this.#text = "";
    this.#state = "line";
    return size;
  }

  #signedLine(data: Buffer): Buffer {
    const { key, scope, timestamp } = this.#keys;
    const toSign = ["AWS4-HMAC-SHA256-PAYLOAD", timestamp, scopeText(scope), this.#previous, EMPTY_PAYLOAD, sha256(data)].join("\n");
    this.#previous = signText(key, toSign);
    const line = `${this.#text};chunk-signature=${this.#previous}\r\n`;
    this.#text = "";
    return Buffer.from(line, "latin1");
  }

  #finish(out: Buffer[]): void {
    if (this.#state === "end" && this.#size === 0) this.#chunkEnd(NOTHING, out);
    if (this.#state !== "trailer") throw broken("the body ends before its last chunk");
    this.#state = "over";
    if (this.#keys.trailer) out.push(this.#signedTrailer());
    else if (this.#text === "\r\n") out.push(CRLF);
    else throw broken("something other than an empty line follows the last chunk");
  }

  #signedTrailer(): Buffer {
    const text = this.#text;
    const [found, made = ""] = TRAILER_SIGNATURE.exec(text) ?? [];
    if (found === undefined) throw broken("the trailer fields do not end in x-amz-trailer-signature");
    const { key, scope, timestamp } = this.#keys;
    const lines = text.slice(0, text.length - found.length).split(/\r?\n/);
    const fields = lines.filter((line) => line.trim() !== "").map((line) => `${canonicalField(line)}\n`);
    const toSign = ["AWS4-HMAC-SHA256-TRAILER", timestamp, scopeText(scope), this.#previous, sha256(fields.join(""))].join("\n");
    const at = text.length - found.length + found.indexOf(made);
    return Buffer.from(`${text.slice(0, at)}${signText(key, toSign)}${text.slice(at + made.length)}`, "latin1");
  }
}

function canonicalField(line: string): string {
  const colon = line.indexOf(":");
  if (colon < 1) throw broken("a trailer field without a name");
  return `${line.slice(0, colon).toLowerCase()}:${line.slice(colon + 1).trim()}`;
}

function broken(reason: string, status: 400 | 413 | 503 = 400): HeadError {
  return new HeadError(status, "credential_signing", `the body in signed chunks cannot be signed again: ${reason}`);
}
