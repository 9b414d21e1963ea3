import { expect, test } from "bun:test";
import { sanitisePath } from "../events/sanitise.ts";
import { Dice } from "./dice.test-support.ts";
import { isExplainedBy, isId, MASKED_SEGMENT, templatesOf } from "./request-template.ts";

const paths = (...list: string[]) => templatesOf(list.map((path) => ({ method: "POST", path }))).map(({ path }) => path);
const requests = (...list: string[]) => list.map((path) => ({ method: "POST", path }));

test("a path stays as it was seen, and ids in it are open", () => {
  expect(paths("/repos/acme/tool/issues")).toEqual(["/repos/acme/tool/issues"]);
  expect(paths("/users/42/keys/7c9e6679-7425-40de-944b-e07fc1f90ae7")).toEqual(["/users/*/keys/*"]);
  expect(paths("/blobs/0123456789abcdef0", "/blobs/decade")).toEqual(["/blobs/*", "/blobs/decade"]);
  expect(paths("/", "/42")).toEqual(["/", "/42"]);
});

test("four values in one place, all else equal, open that place; three do not, and nothing opens the whole path", () => {
  expect(paths("/r/a/x", "/r/b/x", "/r/c/x")).toEqual(["/r/a/x", "/r/b/x", "/r/c/x"]);
  expect(paths("/r/a/x", "/r/b/x", "/r/c/x", "/r/d/x", "/r/d/y")).toEqual(["/r/*/x", "/r/*/x", "/r/*/x", "/r/*/x", "/r/d/y"]);
  expect(paths("/a", "/b", "/c", "/d")).toEqual(["/a", "/b", "/c", "/d"]);
  const methods = ["GET", "PUT", "POST", "PATCH"].map((method, i) => ({ method, path: `/r/${i === 0 ? "a" : `b${i}`}` }));
  expect(templatesOf(methods)).toEqual(methods);
});

test("what is masked counts as an id", () => {
  expect(sanitisePath("/hooks/T0aB1cD2eF3gH4iJ5kL6mN7oP8")).toBe(`/hooks/${MASKED_SEGMENT}`);
  expect(isId(MASKED_SEGMENT)).toBe(true);
});

test("threat-04 a template explains itself by what was seen, never more", () => {
  expect(isExplainedBy({ method: "POST", path: "/repos/acme" }, requests("/repos/acme"))).toBe(true);
  expect(isExplainedBy({ method: "POST", path: "/users/*" }, requests("/users/42"))).toBe(true);
  for (const path of ["/**", "/*", "/repos/**", "/repos/*", "**", "*", "", "/repos/other", "/repos/acme/", "/repos/acme/**"]) {
    expect([path, isExplainedBy({ method: "POST", path }, requests("/repos/acme", "/users/42"))]).toEqual([path, false]);
  }
  for (const method of ["*", "", "PUT", "post"])
    expect(isExplainedBy({ method, path: "/repos/acme" }, requests("/repos/acme"))).toBe(false);
  // A request that spells a pattern is no reason for one.
  for (const path of ["/x/**", "/x/*", "/**", "/*"]) expect(isExplainedBy({ method: "POST", path }, requests(path))).toBe(false);
  expect(isExplainedBy({ method: "POST", path: "/*" }, requests("/1"))).toBe(false);
});

test("threat-04 property: every template made is explained by the requests it was made of, and matches its own", () => {
  const dice = new Dice(404);
  const words = ["repos", "users", "a", "b", "c", "d", "42", "7", MASKED_SEGMENT, "0123456789abcdef01"];
  for (let round = 0; round < 2000; round++) {
    const seen = Array.from({ length: 1 + dice.below(8) }, () => ({
      method: dice.pick(["GET", "POST"]),
      path: `/repos/${Array.from({ length: 1 + dice.below(3) }, () => dice.pick(words)).join("/")}`,
    }));
    for (const [i, template] of templatesOf(seen).entries()) {
      expect(isExplainedBy(template, seen)).toBe(true);
      const own = (seen[i]?.path ?? "").split("/");
      const wanted = template.path.split("/");
      expect(wanted.length === own.length && wanted.every((segment, at) => segment === "*" || segment === own[at])).toBe(true);
    }
  }
});
