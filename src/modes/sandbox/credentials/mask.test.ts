import { describe, expect, test } from "bun:test";
import { Automaton } from "./automaton.ts";
import { Mask } from "./mask.ts";
import { spellingsOf } from "./needles.ts";

const SECRET = 's3cr3t+/=&v"é';
const OTHER = "0123456789";
const mask = new Mask([SECRET, OTHER]);
const field = (name: string, value: string) => ({ name, lower: name.toLowerCase(), value });
const latin1 = (text: string) => Buffer.from(text).toString("latin1");
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("threat-13 heads of answers", () => {
  test.each([
    ["as it is", latin1(SECRET)],
    ["percent-encoded", encodeURIComponent(SECRET)],
    ["percent-encoded in lower case", encodeURIComponent(SECRET).toLowerCase()],
    ["as a URL", encodeURI(SECRET)],
    ["as a form field", "s3cr3t%2B%2F%3D%26v%22%C3%A9"],
    ["in JSON", latin1(JSON.stringify(SECRET))],
    ["in JSON with escaped slashes", latin1(JSON.stringify(SECRET).replaceAll("/", "\\/"))],
    ["in hexadecimal", Buffer.from(SECRET).toString("hex")],
    ["in base64", base64(SECRET)],
    ["in Basic", `Basic ${base64(`user:${SECRET}`)}`],
    ["in base64 behind two bytes and before others", base64(`ab${SECRET}cd`)],
    ["in base64url", Buffer.from(`a${SECRET}`).toString("base64url")],
  ])("%s", (_, value) => {
    const [masked] = mask.fields([field("Location", `https://a.example/?x=${value}&y=1`)]);
    expect(masked?.value).toMatch(/^https:\/\/a\.example\/\?x=.*\*{6,}.*&y=1$/);
    for (const spelling of spellingsOf(SECRET)) expect(masked?.value).not.toContain(spelling);
    expect(masked?.value).toHaveLength(`https://a.example/?x=${value}&y=1`.length);
  });

  test("also spread over fields and in names; lengths stay what they are", () => {
    const fields = [
      field("A", "x01234"),
      field("Content-Length", OTHER),
      field("B", "56789y"),
      field(`X-${OTHER}`, "z"),
      field("C", "0123x"),
    ];
    expect(mask.fields(fields).map(({ name, value }) => `${name}: ${value}`)).toEqual([
      "A: x*****",
      "Content-Length: 0123456789",
      "B: *****y",
      "X-**********: z",
      "C: 0123x",
    ]);
    const clean = [field("A", "b")];
    expect(mask.fields(clean)).toBe(clean);
  });
});

describe("bodies", () => {
  const text = `a${SECRET}b${OTHER}0123456789012345c${base64(`id:${SECRET}`)}d012345678`;
  const whole = mask.body().take(Buffer.from(text), true).toString("latin1");

  test("are masked at every way of cutting them into two and into bytes", () => {
    expect(whole).not.toContain("s3cr3t");
    expect(whole).toEndWith("d012345678");
    const bytes = Buffer.from(text);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const body = mask.body();
      const parts = [body.take(bytes.subarray(0, cut), false), body.take(bytes.subarray(cut), true)];
      expect(Buffer.concat(parts).toString("latin1")).toBe(whole);
    }
    const body = mask.body();
    const parts = [...bytes].map((byte) => body.take(Buffer.from([byte]), false));
    expect(Buffer.concat([...parts, body.take(Buffer.alloc(0), true)]).toString("latin1")).toBe(whole);
    expect(bytes.toString()).toBe(text);
  });

  test("pass at once where nothing looks like the beginning of a secret", () => {
    const body = mask.body();
    expect(body.take(Buffer.from("data: hello\n\n"), false).toString()).toBe("data: hello\n\n");
    expect(body.take(Buffer.from("data: 012"), false).toString()).toBe("data: ");
    expect(body.take(Buffer.from("x"), false).toString()).toBe("012x");
  });
});

test("the automaton finds what a search for each word finds, in random texts over two letters", () => {
  let seed = 42;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((seed / 2_147_483_648) * below);
  };
  const word = (length: number) => Array.from({ length }, () => "ab"[random(2)]).join("");
  for (let round = 0; round < 300; round++) {
    const words = Array.from({ length: 1 + random(5) }, () => word(1 + random(6)));
    const text = word(40);
    const automaton = new Automaton(words);
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      state = automaton.step(state, text.charCodeAt(i));
      const read = text.slice(0, i + 1);
      const longest = Math.max(0, ...words.filter((one) => read.endsWith(one)).map(({ length }) => length));
      expect(automaton.found(state)).toBe(longest);
      const beginnings = words.flatMap((one) => Array.from({ length: one.length + 1 }, (_, n) => one.slice(0, n)));
      expect(automaton.depth(state)).toBe(Math.max(...beginnings.filter((one) => read.endsWith(one)).map(({ length }) => length)));
    }
  }
});
