import { expect, test } from "bun:test";
import { overrideModel } from "./model-override.ts";

const MODEL = "the/model-1";

const replaced: readonly [string, string][] = [
  ['{"model":"a"}', '{"model":"the/model-1"}'],
  ["{}", '{"model":"the/model-1"}'],
  [" \n{ }", ' \n{"model":"the/model-1" }'],
  ['{"a":1}', '{"model":"the/model-1","a":1}'],
  // Every other byte stays: numbers beyond 2^53, escapes, blanks.
  ['{ "n": 12345678901234567890, "model" : "a" , "e":1e400}', '{ "n": 12345678901234567890, "model" : "the/model-1" , "e":1e400}'],
  ['{"mod\\u0065l":"a","x":"\\u0041"}', '{"mod\\u0065l":"the/model-1","x":"\\u0041"}'],
  ['{"model":{"a":[1,"]}",{}]},"b":2}', '{"model":"the/model-1","b":2}'],
  ['{"model":null}', '{"model":"the/model-1"}'],
  ['{"x":{"model":"inner"},"y":["model"],"model":-1.5e3}', '{"x":{"model":"inner"},"y":["model"],"model":"the/model-1"}'],
  ['{"x":"\\"model\\":\\"a\\"","model":"\\\\"}', '{"x":"\\"model\\":\\"a\\"","model":"the/model-1"}'],
];

for (const [given, expected] of replaced)
  test(`${given} names our model`, () => {
    expect(overrideModel(given, MODEL)).toEqual({ body: expected });
  });

const refused = [
  '{"model":"a","model":"b"}',
  '{"model":"a","MODEL":"b"}',
  '{"Model":"a"}',
  '{"mod\\u0065l":"a","model":"b"}',
  "[]",
  '"model"',
  "null",
  "",
  "{",
  '{"model":"a"}{}',
  "{'model':'a'}",
  '\ufeff{"model":"a"}',
  '{"model":"a",}',
  "[".repeat(200_000),
];

for (const given of refused)
  test(`${given.slice(0, 40)} is refused`, () => {
    expect(overrideModel(given, MODEL)).toHaveProperty("problem");
  });

test("10,000 random objects: what is read is what was there, with our model", () => {
  const random = (limit: number) => Math.floor(Math.random() * limit);
  const word = () => ["model", "a", 'q"', "\\", "ä", "{", "]", ",", ":", "messages"][random(10)] ?? "";
  const value = (depth: number): unknown => {
    const kind = random(depth > 3 ? 4 : 6);
    if (kind === 0) return random(1e9) / 7;
    if (kind === 1) return word().repeat(random(3));
    if (kind === 2) return null;
    if (kind === 3) return random(2) === 0;
    if (kind === 4) return Array.from({ length: random(4) }, () => value(depth + 1));
    return Object.fromEntries(Array.from({ length: random(4) }, () => [word() + random(3), value(depth + 1)]));
  };
  for (let i = 0; i < 10_000; i++) {
    const object: Record<string, unknown> = Object.fromEntries(Array.from({ length: random(5) }, () => [word(), value(0)]));
    const text = JSON.stringify(object, undefined, random(3));
    const result = overrideModel(text, MODEL);
    expect("body" in result ? JSON.parse(result.body) : result).toEqual({ ...object, model: MODEL });
  }
});
