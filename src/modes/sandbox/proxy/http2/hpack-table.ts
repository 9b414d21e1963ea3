/** RFC 7541 appendix A, from index 1 on. */
export const STATIC_TABLE: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** What a field counts beside its characters (RFC 7541 section 4.1). */
export const FIELD_OVERHEAD = 32;

export function fieldSize(name: string, value: string): number {
  return name.length + value.length + FIELD_OVERHEAD;
}

/** Fields that earlier header blocks of a connection have left, the newest first (RFC 7541 section 2.3.2). */
export class DynamicTable {
  /** Newest last, so that adding and evicting move nothing. */
  #entries: (readonly [string, string])[] = [];
  #first = 0;
  #size = 0;
  #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The field at an index of the dynamic table, counted from 0. */
  at(index: number): readonly [string, string] | undefined {
    const position = this.#entries.length - 1 - index;
    return position < this.#first ? undefined : this.#entries[position];
  }

  add(name: string, value: string): void {
    const size = fieldSize(name, value);
    this.#size += size;
    this.#entries.push([name, value]);
    this.#evict();
  }

  resize(limit: number): void {
    this.#limit = limit;
    this.#evict();
  }

  #evict(): void {
    while (this.#size > this.#limit) {
      const [name, value] = this.#entries[this.#first] ?? ["", ""];
      this.#size -= fieldSize(name, value);
      this.#first++;
    }
    if (this.#first > 64 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }
}
