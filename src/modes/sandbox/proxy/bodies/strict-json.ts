import { BodyError } from "./unreadable.ts";

/** A JSON value. Objects are maps, so that no name means anything to the language. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = ReadonlyMap<string, Json>;

/** Objects and lists inside each other. Arguments of tools have a few; readers of servers give up between 100 and 10,000. */
export const MAX_JSON_DEPTH = 64;

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
const BLANKS = /[ \t\n\r]*/y;
/** A string up to the next quotation mark or escape. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must be escaped in JSON
const PLAIN = /[^"\\\x00-\x1f]*/y;
const HEX = /[0-9A-Fa-f]{4}/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WORDS: readonly (readonly [string, Json])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

class JsonReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Json {
    const value = this.#value();
    this.#match(BLANKS);
    if (this.#at < this.#text.length) this.#fail("something follows the value");
    return value;
  }

  #value(): Json {
    this.#match(BLANKS);
    const next = this.#text[this.#at];
    if (next === '"') return this.#string();
    if (next === "{") return this.#nested(() => this.#object());
    if (next === "[") return this.#nested(() => this.#list());
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
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
      this.#match(BLANKS);
      if (this.#text[this.#at] !== '"') this.#fail("a name in quotation marks is missing");
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

  #string(): string {
    this.#at++;
    let value = "";
    for (;;) {
      value += this.#match(PLAIN);
      const end = this.#text[this.#at++];
      if (end === '"') break;
      if (end !== "\\") this.#fail(end === undefined ? "a string does not end" : "control character in a string");
      value += this.#escape();
    }
    if (!value.isWellFormed()) this.#fail("half of a surrogate pair");
    return value;
  }

  #escape(): string {
    const letter = this.#text[this.#at++] ?? "";
    if (letter !== "u") return ESCAPES[letter] ?? this.#fail("unknown escape in a string");
    const hex = this.#match(HEX);
    if (hex === "") this.#fail("unknown escape in a string");
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  /** Steps over blanks and this one character, if it comes. */
  #next(character: string): boolean {
    this.#match(BLANKS);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #fail(problem: string, code = "json_syntax"): never {
    throw new BodyError(400, code, `the JSON cannot be read: ${problem}, at character ${this.#at}`);
  }
}

function quoted(name: string): string {
  return JSON.stringify(name.length > 40 ? `${name.slice(0, 40)}…` : name);
}
