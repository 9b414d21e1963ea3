import { describe, expect, test } from "bun:test";
import { canonicalPath, MAX_PATH_BYTES } from "./path.ts";
import { MAX_QUERY_PAIRS, readQuery } from "./query.ts";
import { HeadError } from "./refused.ts";

const code = (act: () => unknown): string => {
  try {
    return `not refused: ${JSON.stringify(act())}`;
  } catch (error) {
    return (error as HeadError).refusal.code;
  }
};

describe("one spelling of a path", () => {
  for (const [path, canonical] of [
    ["/", "/"],
    ["*", "*"],
    ["/a/b.c-d_e~f/", "/a/b.c-d_e~f/"],
    ["/.well-known/x", "/.well-known/x"],
    ["//a///b", "/a/b"],
    ["/a/./b/.", "/a/b/"],
    ["/a/../b", "/b"],
    ["/a/b/..", "/a/"],
    ["/a/%2e%2E/b", "/b"],
    ["/a/%2e/b", "/a/b"],
    ["/%41%7e%2d", "/A~-"],
    ["/a%2fb", "/a%2Fb"],
    ["/a;v=1/b;", "/a/b"],
    ["/a/..;x/b", "/b"],
    ["/%3b%c3%bc", "/%3B%C3%BC"],
    ["/%c0%e9t%e9/%e0%a0%80", "/%C0%E9t%E9/%E0%A0%80"],
    ["/a%25b", "/a%25b"],
    ["/a%20b", "/a%20b"],
  ] as const)
    test(`${path} is ${canonical}`, () => expect(canonicalPath(path)).toBe(canonical));

  for (const [path, reason] of [
    ["a", "target"],
    ["/..", "path_above_root"],
    ["/a/../../b", "path_above_root"],
    ["/%2e%2e/b", "path_above_root"],
    ["/%", "path_encoding"],
    ["/%4", "path_encoding"],
    ["/%zz", "path_encoding"],
    ["/%00", "path_encoding"],
    ["/%0d%0a", "path_encoding"],
    ["/%7F", "path_encoding"],
    ["/a%5Cb", "path_encoding"],
    ["/a/%252e%252e/b", "path_encoding"],
    ["/a/%25252e/b", "path_encoding"],
    ["/a/..%252fb", "path_encoding"],
    ["/a/..%2Fb", "path_encoding"],
    ["/a/b%2f%2e%2e%2fc", "path_encoding"],
    ["/a/x%2F..", "path_encoding"],
    ["/a/..%3Bx", "path_encoding"],
    ["/a/%c0%ae%C0%AE/b", "path_encoding"],
    ["/a..%c1%9cb", "path_encoding"],
    ["/a/%e0%80%af../b", "path_encoding"],
    ["/a/%f0%80%80%ae/b", "path_encoding"],
    [`/${"a".repeat(MAX_PATH_BYTES)}`, "path_too_long"],
  ] as const)
    test(`${path.slice(0, 30)} is refused: ${reason}`, () => expect(code(() => canonicalPath(path))).toBe(reason));

  test("what is canonical stays as it is, whatever it came from", () => {
    const alphabet = ["/", ".", "..", "%2e", "%2F", "%25", "a", "B", ";x", "~", "%7e", "%41", "%c3"];
    for (let seed = 1, i = 0; i < 50_000; i++) {
      let path = "/";
      for (let parts = 0; parts < 6; parts++) {
        seed = (seed * 48_271) % 2_147_483_647;
        path += alphabet[seed % alphabet.length];
      }
      let once: string;
      try {
        once = canonicalPath(path);
      } catch (error) {
        expect(error).toBeInstanceOf(HeadError);
        continue;
      }
      if (canonicalPath(once) !== once || /\/\.{1,2}(\/|$)|\/\/|;/.test(once)) throw new Error(`${path} became ${once}`);
    }
  });
});

describe("query", () => {
  test("names and values are decoded, in order, all of them", () => {
    expect({ ...readQuery("a=1&b=x+y%2B&a=2&&c&d=%C3%BC=z") }).toEqual({ a: ["1", "2"], b: ["x y+"], c: [""], d: ["ü=z"] });
    expect({ ...readQuery("") }).toEqual({});
    expect(readQuery("__proto__=1&constructor=2")["constructor"]).toEqual(["2"]);
  });
  test("what decodes in more than one way is refused", () => {
    for (const query of ["a=%", "a=%zz", "%C3=1", "a=%ED%A0%80", Array(MAX_QUERY_PAIRS + 2).join("&a")])
      expect(code(() => readQuery(query))).toBe("query");
  });
});
