import { describe, expect, test } from "bun:test";
import { deniedPathProblem, pathSpellingProblem, plainPath } from "./request-patterns.ts";

describe("paths of rules are those of requests", () => {
  test.each(["/", "/**", "/a/*/b.c-d_e~f", "/@me/a:b,c", "/a%20b/%C3%BC", "/a%2Fb", "/a%40b", "/v1/*:delete", "/.well-known/*", "/a/"])(
    "%s",
    (path) => expect(pathSpellingProblem(path)).toBeUndefined(),
  );
  test.each([
    ["/ü/a b", "matches no request: write /%C3%BC/a%20b"],
    ["/%c3%bc", "matches no request: write /%C3%BC"],
    ["/%7Eroot/%41", "matches no request: write /~root/A"],
    ["/a//b", "matches no request: write /a/b"],
    ["/a/../b", "matches no request: paths have no dot segments"],
    ["/a/.", "matches no request: paths have no dot segments"],
    ["/a;v=1", "matches no request: paths have no ;parameters and no fragment"],
    ["/a#b", "matches no request: paths have no ;parameters and no fragment"],
    ["/100%", "has a percent sign that is no escape"],
  ])("%s %s", (path, problem) => expect(pathSpellingProblem(path)).toBe(problem));
});

test("a deny rule is written without the escapes that a request may leave out", () => {
  expect(deniedPathProblem("/%40me/a%3Ab")).toBe("leaves out requests without its escapes: write /@me/a:b, which stands for both");
  for (const path of ["/@me", "/a%2Fb", "/a%20b", "/a%2Ab", "/%5Bx%5D", "/a%3Fb"]) expect(deniedPathProblem(path)).toBeUndefined();
});

test("a path without the escapes that it can do without", () => {
  expect(plainPath("/%40me/a%3Ab%2Fc%25%20%3F%23%3B%5C%C3%BC%2A%22")).toBe('/@me/a:b%2Fc%25%20%3F%23%3B%5C%C3%BC*"');
});
