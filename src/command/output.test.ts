import { describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { nearest } from "./nearest.ts";
import { asciiJson, asciiYaml } from "./output.ts";
import { printable, printableLines, printableSentence, shortened } from "./printable.ts";
import { renderTable } from "./table.ts";
import { bufferTerminal } from "./terminal.fixture.ts";
import { wantsColor } from "./terminal.ts";

/** Strings that try to move the cursor, reorder the line, or look like something else. */
const NASTY = [
  "\x1b[2J",
  "a\r\nb",
  "\u202Eevil",
  "p\u0430ypal.com",
  "\u2028",
  "\x07\x7f\x9b31m",
  "\u{1F600}",
  "a: b # c",
  "\ud800",
  "- x",
  "\t",
  "",
];

test("printable shows every byte outside printable ASCII", () => {
  expect(printable("a\x1b]52;c;\x07é\n")).toBe("a\\x1b]52;c;\\x07\\xc3\\xa9\\x0a");
  expect(printableSentence("a — b…")).toBe("a - b...");
  expect(printableLines("a\nb\x1b")).toBe("a\nb\\x1b");
  expect(shortened("x".repeat(20), 10)).toBe("xxxxxxx...");
  for (const text of NASTY) expect(printable(text)).toMatch(/^[\x20-\x7e]*$/);
});

test("json and yaml are ASCII and read back as the same", async () => {
  const value = { list: NASTY, [`key${NASTY.join("")}`.toWellFormed()]: { n: 1, yes: true, none: null } };
  expect(asciiJson(value, 2)).toMatch(/^[\n\x20-\x7e]*$/);
  expect(JSON.parse(asciiJson(value))).toEqual(value);
  const wellFormed = { ...value, list: NASTY.map((text) => text.toWellFormed()) };
  const yaml = await asciiYaml(wellFormed);
  expect(yaml).toMatch(/^[\n\x20-\x7e]*$/);
  expect(parse(yaml)).toEqual(wellFormed);
});

test("a table is as wide as its widest cell and has no trailing blanks", () => {
  const { style } = bufferTerminal();
  expect(
    renderTable(
      ["A", "LONG"],
      [
        ["x\x1b", ""],
        ["1", "2"],
      ],
      style,
    ),
  ).toBe("A       LONG\nx\\x1b\n1       2\n");
});

describe("colours", () => {
  test("on a terminal only, and never against the person's wish", () => {
    expect(wantsColor({}, true)).toBe(true);
    expect(wantsColor({}, false)).toBe(false);
    expect(wantsColor({ NO_COLOR: "1" }, true)).toBe(false);
    expect(wantsColor({ NO_COLOR: "" }, true)).toBe(true);
    expect(wantsColor({ TERM: "dumb" }, true)).toBe(false);
  });
});

test("the nearest name, or none", () => {
  const names = ["sandbox", "policy", "policy-advisor", "status", "settings"];
  expect(nearest("sandbx", names)).toBe("sandbox");
  expect(nearest("satus", names)).toBe("status");
  expect(nearest("stauts", names)).toBe("status");
  expect(nearest("sett", names)).toBe("settings");
  expect(nearest("zzzzzz", names)).toBeUndefined();
  expect(nearest("x", names)).toBeUndefined();
});
