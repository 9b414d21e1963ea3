import { BodyError } from "./unreadable.ts";

/** A JSON value. Objects are maps, so that no name means anything to the language. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = ReadonlyMap<string, Json>;

/** Objects and lists inside each other. Arguments of tools have a few; readers of servers give up between 100 and 10,000. */
export const MAX_JSON_DEPTH = 64;

/**
 * Names and values of one text, together. Reading one takes about a microsecond, during which no other connection of the sandbox is served; a
 * call with a table of ten thousand rows in its arguments has fewer.
 */
export const MAX_JSON_PARTS = 131_072;

/**
 * Reads one JSON text as RFC 8259 has it and nothing besides. What programs read differently is refused: a name that occurs twice in an
 * object, lone surrogates, NUL in a name, bytes that are not UTF-8, a byte order mark, anything behind the value.
 * @throws BodyError
 */
export function readStrictJson(bytes: Uint8Array): Json {
  return readStrictJsonText(decodeUtf8(bytes));
}

/** The same for text that is decoded already. */
export function readStrictJsonText(text: string): Json {
  const reader = new JsonReader(text);
  return reader.whole();
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    throw new BodyError(400, "json_encoding", "the body is not UTF-8");
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const WORDS: Readonly<Record<string, readonly [string, Json]>> = { t: ["true", true], f: ["false", false], n: ["null", null] };

class JsonReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #parts = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Json {
    const value = this.#value();
    this.#blanks();
    if (this.#at < this.#text.length) this.#fail("something follows the value");
    return value;
  }

  #value(): Json {
    this.#count();
    this.#blanks();
    const next = this.#text[this.#at];
    if (next === '"') return this.#string();
    if (next === "{") return this.#nested(() => this.#object());
    if (next === "[") return this.#nested(() => this.#list());
    const [word, value] = WORDS[next ?? ""] ?? [];
    if (word !== undefined && value !== undefined && this.#text.startsWith(word, this.#at)) {
      this.#at += word.length;
      return value;
    }
    const number = this.#match(NUMBER);
    if (number === "") this.#fail(next === undefined ? "it ends too early" : "no value");
    return Number(number);
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > MAX_JSON_DEPTH) this.#fail(`more than ${MAX_JSON_DEPTH} objects and lists inside each other`);
    this.#at++;
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): JsonObject {
    const object = new Map<string, Json>();
    if (this.#next("}")) return object;
    do {
      this.#blanks();
      if (this.#text[this.#at] !== '"') this.#fail("a name in quotation marks is missing");
      this.#count();
      const name = this.#string();
      if (name.includes("\0")) this.#fail("NUL in a name");
      if (object.has(name)) this.#fail(`the name ${quoted(name)} occurs twice in one object`, "json_duplicate");
      if (!this.#next(":")) this.#fail("no colon behind a name");
      object.set(name, this.#value());
    } while (this.#next(","));
    if (!this.#next("}")) this.#fail("an object does not end");
    return object;
  }

  #list(): readonly Json[] {
    const list: Json[] = [];
    if (this.#next("]")) return list;
    do list.push(this.#value());
    while (this.#next(","));
    if (!this.#next("]")) this.#fail("a list does not end");
    return list;
  }

  #count(): void {
    if (++this.#parts > MAX_JSON_PARTS)
      this.#fail(`more than ${MAX_JSON_PARTS} names and values in ${this.#text.length} characters`, "json_size", 413);
  }

  #string(): string {
    const start = this.#at++;
    const plain = this.#plain();
    const value = this.#text.charCodeAt(this.#at) === BACKSLASH ? this.#escaped(start) : plain;
    const end = this.#text.charCodeAt(this.#at);
    if (end !== QUOTE) this.#fail(Number.isNaN(end) ? "a string does not end" : "control character in a string");
    this.#at++;
    if (!value.isWellFormed()) this.#fail("half of a surrogate pair");
    return value;
  }

  /** The whole string that begins at `start`, with escapes; goes on up to its end. */
  #escaped(start: number): string {
    while (this.#text.charCodeAt(this.#at) === BACKSLASH) {
      this.#at += 2;
      this.#plain();
    }
    if (this.#text.charCodeAt(this.#at) !== QUOTE) return "";
    try {
      // Which escapes there are, all readers agree on.
      return JSON.parse(this.#text.slice(start, this.#at + 1));
    } catch {
      return this.#fail("unknown escape in a string");
    }
  }

  /** Steps over blanks and this one character, if it comes. */
  #next(character: string): boolean {
    this.#blanks();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #blanks(): void {
    while (isBlank(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  /** A string up to the next quotation mark, escape or control character, which must be escaped. */
  #plain(): string {
    const start = this.#at;
    let at = start;
    for (let code = this.#text.charCodeAt(at); code !== QUOTE && code !== BACKSLASH && code >= 0x20; ) code = this.#text.charCodeAt(++at);
    this.#at = at;
    return this.#text.slice(start, at);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #fail(problem: string, code = "json_syntax", status: 400 | 413 = 400): never {
    throw new BodyError(status, code, `the JSON cannot be read: ${problem}, at character ${this.#at}`);
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

function quoted(name: string): string {
  return JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name);
}
