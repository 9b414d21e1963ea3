import { expect, test } from "bun:test";
import { ByteBudget } from "./byte-budget.ts";
import { GrowingBuffer } from "./growing-buffer.ts";

test("pieces become one, and cost about what they are long", () => {
  const budget = new ByteBudget(100_000);
  const buffer = new GrowingBuffer(50_000, budget);
  for (let n = 0; n < 50_000; n++) expect(buffer.append(Buffer.of(n & 255))?.length).toBe(1);
  expect(budget.used).toBe(50_000);
  expect(buffer.bytes()).toEqual(Buffer.from(Array.from({ length: 50_000 }, (_, n) => n & 255)));
  buffer.drop();
  expect([budget.used, buffer.length]).toEqual([0, 0]);
});

test("a used-up budget keeps nothing and takes nothing", () => {
  const budget = new ByteBudget(3000);
  const [first, second] = [new GrowingBuffer(10_000, budget), new GrowingBuffer(10_000, budget)];
  expect(first.append(Buffer.alloc(2000))?.length).toBe(2000);
  expect(second.append(Buffer.alloc(2000))).toBeUndefined();
  expect([second.length, budget.used]).toEqual([0, 2000]);
  first.drop();
  expect(second.append(Buffer.alloc(2000))?.length).toBe(2000);
});
