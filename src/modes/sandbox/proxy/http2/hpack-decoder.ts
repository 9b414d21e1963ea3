import { ConnectionError, ErrorCode } from "./errors.ts";
import { DynamicTable, fieldSize, STATIC_TABLE } from "./hpack-table.ts";
import { huffmanRead } from "./huffman.ts";

/** What we announce: the initial value of SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 6.5.2). */
export const TABLE_BYTES = 4096;

/** One field as it came: pseudo fields too, nothing checked. Latin-1. */
export type RawField = readonly [name: string, value: string];

export interface DecodedBlock {
  readonly fields: readonly RawField[];
  /** The list was larger than the soft limit; only its beginning is in `fields`. */
  readonly tooLarge: boolean;
}

/** Sizes of one header list, counted as RFC 9113 section 6.5.2 says. */
export interface ListLimits {
  /** Beyond: no more fields are kept. */
  readonly soft: number;
  /** Beyond: the connection ends. */
  readonly hard: number;
}

/** Reads header blocks of one connection, in order; each one changes how the next is read. Throws ConnectionError. */
export class HpackDecoder {
  readonly #table = new DynamicTable(TABLE_BYTES);
  readonly #limits: ListLimits;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(limits: ListLimits) {
    this.#limits = limits;
  }

  decode(block: Buffer): DecodedBlock {
    this.#bytes = block;
    this.#at = 0;
    const fields: RawField[] = [];
    let size = 0;
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        this.#resize(fields.length === 0 && size === 0);
        continue;
      }
      const field = this.#field(first);
      size += fieldSize(field[0], field[1]);
      if (size > this.#limits.hard)
        throw new ConnectionError(ErrorCode.enhanceYourCalm, `header list larger than ${this.#limits.hard} bytes`);
      if (size <= this.#limits.soft) fields.push(field);
    }
    this.#bytes = Buffer.alloc(0);
    return { fields, tooLarge: size > this.#limits.soft };
  }

  #field(first: number): RawField {
    if ((first & 0x80) !== 0) return this.#indexed(this.#integer(7));
    const remembered = (first & 0x40) !== 0;
    const index = this.#integer(remembered ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#indexed(index)[0];
    const field: RawField = [name, this.#string()];
    if (remembered) this.#table.add(field[0], field[1]);
    return field;
  }

  #indexed(index: number): RawField {
    const field = index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table.at(index - STATIC_TABLE.length - 1);
    if (field === undefined) throw compressionError(`index ${index} is not in the table`);
    return field;
  }

  /** Only at the beginning of a block (RFC 7541 section 4.2). */
  #resize(allowed: boolean): void {
    const size = this.#integer(5);
    if (!allowed) throw compressionError("table size update behind a field");
    if (size > TABLE_BYTES) throw compressionError(`table of ${size} bytes, at most ${TABLE_BYTES} are accepted`);
    this.#table.resize(size);
  }

  /** RFC 7541 section 5.1. Four continuation bytes are 28 bits, more than anything here may say. */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw compressionError("integer too large");
  }

  #string(): string {
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) throw compressionError("header block that ends early");
    this.#at = end;
    if (!coded) return this.#bytes.toString("latin1", start, end);
    const text = huffmanRead(this.#bytes, start, end);
    if (text === undefined) throw compressionError("string that is not in the Huffman code");
    return text;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw compressionError("header block that ends early");
    return byte;
  }
}

function compressionError(reason: string): ConnectionError {
  return new ConnectionError(ErrorCode.compressionError, reason);
}
