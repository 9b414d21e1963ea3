import { expect, test } from "bun:test";
import { MadeByGone, withPaths } from "./made-configuration.ts";

test("paths are kept once, sorted, and not without end", () => {
  expect(withPaths(["/b"], ["/a", "/b"])).toEqual(["/a", "/b"]);
  const many = Array.from({ length: 300 }, (_, index) => `/x/${index}`);
  expect(withPaths(["/known"], many)).toHaveLength(256);
  expect(withPaths(["/known"], many)).toContain("/known");
});

test("what is no absolute path, or too long for one, is refused", () => {
  for (const path of ["", "relative", `/${"x".repeat(4096)}`]) expect(() => withPaths([], [path])).toThrow("absolute paths");
});

test("what a sandbox made that has gone is told once, and of a bounded number", () => {
  const gone = new MadeByGone();
  gone.keep("default/a", ["/repo/.envrc"]);
  gone.keep("default/none", []);
  expect([gone.take("default/a"), gone.take("default/a"), gone.take("default/none")]).toEqual([["/repo/.envrc"], [], []]);
  for (let index = 0; index <= 64; index++) gone.keep(`default/${index}`, ["/x"]);
  expect([gone.take("default/0"), gone.take("default/1"), gone.take("default/64")]).toEqual([[], ["/x"], ["/x"]]);
});
