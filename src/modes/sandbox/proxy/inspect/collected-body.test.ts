import { expect, test } from "bun:test";
import { ByteBudget } from "../byte-budget.ts";
import { CollectedBody } from "./collected-body.ts";

test("a body up to the limit is given whole, and its memory is free again", () => {
  const budget = new ByteBudget(1000);
  const body = new CollectedBody(6, budget);
  expect(body.empty).toBe(true);
  for (const piece of ["ab", "", "cdef"]) body.push(Buffer.from(piece));
  expect([body.state, body.take().toString(), budget.used]).toEqual(["fits", "abcdef", 0]);
});

test("a longer one, and one too many, keep nothing", () => {
  const budget = new ByteBudget(1500);
  const [long, first, second] = [new CollectedBody(6, budget), new CollectedBody(2000, budget), new CollectedBody(2000, budget)];
  long.push(Buffer.alloc(7));
  first.push(Buffer.alloc(1000));
  second.push(Buffer.alloc(1000));
  expect([long.state, first.state, second.state]).toEqual(["exceeded", "fits", "no room"]);
  first.drop();
  expect(budget.used).toBe(0);
});
