import { expect, test } from "bun:test";
import { withPaths } from "./made-configuration.ts";

test("paths are kept once, sorted, and not without end", () => {
  expect(withPaths(["/b"], ["/a", "/b"])).toEqual(["/a", "/b"]);
  const many = Array.from({ length: 300 }, (_, index) => `/x/${index}`);
  expect(withPaths(["/known"], many)).toHaveLength(256);
  expect(withPaths(["/known"], many)).toContain("/known");
});

test("what is no absolute path, or too long for one, is refused", () => {
  for (const path of ["", "relative", `/${"x".repeat(4096)}`]) expect(() => withPaths([], [path])).toThrow("absolute paths");
});
