import { describe, expect, test } from "bun:test";
import { Dice } from "../../../../policy/dice.test-support.ts";
import { type Json, MAX_JSON_DEPTH, MAX_JSON_PARTS, readStrictJson } from "./strict-json.ts";
import { reading } from "./unreadable.ts";

const read = (text: string | Uint8Array) => {
  const result = reading(() => plain(readStrictJson(typeof text === "string" ? Buffer.from(text) : text)));
  return result.kind === "read" ? { value: result.facts } : { refused: result.code };
};

/** As `JSON.parse` gives it. */
function plain(value: Json): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, inner]) => [name, plain(inner)]));
  return value;
}

describe("what has one reading is read as JSON.parse reads it", () => {
  for (const text of [
    "null",
    " true ",
    "-0.5e+10",
    '"a\\u00e9\\ud83d\\ude00\\n\\/"',
    "[]",
    "{}",
    ' { "a" : [ 1 , { "b" : null } ] , "" : "x" } ',
    '{"variables":{"a":1,"A":2},"emoji":"😀","separator":"\u2028"}',
  ]) {
    test(text, () => expect(read(text)).toEqual({ value: JSON.parse(text) }));
  }
});

describe("what programs read differently is refused", () => {
  for (const [why, text, code] of [
    ["a name twice", '{"a":1,"a":2}', "json_duplicate"],
    ["a name twice, once escaped", '{"a":1,"\\u0061":2}', "json_duplicate"],
    ["a name twice deep inside", '{"a":[{"b":1,"b":1}]}', "json_duplicate"],
    ["NUL in a name", '{"a\\u0000":1}', "json_syntax"],
    ["half a surrogate pair", '"\\ud800"', "json_syntax"],
    ["half a surrogate pair in a name", '{"\\udc00":1}', "json_syntax"],
    ["a byte order mark", "\ufeff{}", "json_syntax"],
    ["nothing", "", "json_syntax"],
    ["two values", "{} {}", "json_syntax"],
    ["lines of values", "{}\n{}", "json_syntax"],
    ["a comment", "{/**/}", "json_syntax"],
    ["a comma at the end", '{"a":1,}', "json_syntax"],
    ["a comma at the end of a list", "[1,]", "json_syntax"],
    ["NaN", "NaN", "json_syntax"],
    ["a leading zero", "01", "json_syntax"],
    ["a plus", "+1", "json_syntax"],
    ["hexadecimal", "0x1", "json_syntax"],
    ["single quotes", "{'a':1}", "json_syntax"],
    ["no quotes", "{a:1}", "json_syntax"],
    ["a raw line break in a string", '"a\nb"', "json_syntax"],
    ["an unknown escape", '"\\x41"', "json_syntax"],
    ["a form feed between tokens", "[1,\f2]", "json_syntax"],
    ["a no-break space", "\u00a0{}", "json_syntax"],
    ["NUL behind", "{}\0", "json_syntax"],
    ["an open object", '{"a":1', "json_syntax"],
    ["an open string", '"abc', "json_syntax"],
    ["a short escape", '"\\u00e"', "json_syntax"],
    ["an escape at the end", '"\\', "json_syntax"],
    ["an escaped quotation mark at the end", '"a\\"', "json_syntax"],
    ["a raw line break behind an escape", '"\\n\n"', "json_syntax"],
    ["an escaped line break", '"\\\n"', "json_syntax"],
  ] as const) {
    test(why, () => expect(read(text)).toEqual({ refused: code }));
  }

  test("bytes that are not UTF-8, and UTF-16", () => {
    expect(read(Uint8Array.of(0x22, 0xc3, 0x28, 0x22))).toEqual({ refused: "json_encoding" });
    expect(read(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22))).toEqual({ refused: "json_encoding" });
    expect(read(Buffer.from("{}", "utf16le"))).toMatchObject({ refused: "json_syntax" });
  });

  test("more levels than are read, however many there are", () => {
    expect(read("[".repeat(MAX_JSON_DEPTH) + "]".repeat(MAX_JSON_DEPTH))).toHaveProperty("value");
    for (const levels of [MAX_JSON_DEPTH + 1, 1_000_000]) expect(read("[".repeat(levels))).toEqual({ refused: "json_syntax" });
  });
});

test("more names and values than are read, with both numbers; a long string is one", () => {
  const pairs = (count: number) => `{${Array.from({ length: count }, (_, n) => `"${n}":${n}`).join(",")}}`;
  const most = MAX_JSON_PARTS / 2 - 1;
  expect(read(pairs(most))).toHaveProperty("value");
  const texts = [pairs(most + 1), pairs(300_000), `[${"{},".repeat(1_000_000)}{}]`, `[${"1,".repeat(MAX_JSON_PARTS)}1]`];
  for (const text of texts) {
    const result = reading(() => readStrictJson(Buffer.from(text)));
    expect(result).toMatchObject({ kind: "unreadable", status: 413, code: "json_size" });
    expect(result.kind === "unreadable" ? result.reason : "").toContain(
      `more than ${MAX_JSON_PARTS} names and values in ${text.length} characters`,
    );
  }
  for (const text of ['"\\n"'.padStart(4), `"${"\\n\\u0041x".repeat(300_000)}"`]) expect(read(text)).toEqual({ value: JSON.parse(text) });
});

test("mutated texts: what is accepted, JSON.parse accepts and reads alike", () => {
  const dice = new Dice(0x7501);
  const seed = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\\u00e9","list":[1,-2.5e3,true,null,""]}}';
  const letters = [...'{}[]",:\\u0e-+.1 \n\ttruefalsnm/\ufeff\0😀'];
  let accepted = 0;
  for (let n = 0; n < 20_000; n++) {
    const text = [...seed];
    for (const _ of dice.some(4, () => 0)) text.splice(dice.below(text.length), dice.below(3), dice.pick(letters));
    const joined = text.join("");
    const result = read(joined);
    if (!("value" in result)) continue;
    accepted++;
    expect(result.value).toEqual(JSON.parse(joined));
  }
  expect(accepted).toBeGreaterThan(100);
});
