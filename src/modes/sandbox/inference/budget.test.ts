import { expect, test } from "bun:test";
import { InferenceBudget } from "./budget.ts";

const MINUTE = 60_000;
const none = { requestsPerMinute: 0, tokensPerHour: 0, concurrentRequests: 0 };

test("threat-30 requests a minute: a burst, then at the rate", () => {
  const budget = new InferenceBudget({ ...none, requestsPerMinute: 6 });
  const now = 1_000_000;
  for (let i = 0; i < 6; i++) expect(budget.admit(now).admitted).toBe(true);
  expect(budget.admit(now)).toMatchObject({ admitted: false, retryAfter: 10 });
  expect(budget.admit(now + MINUTE / 6).admitted).toBe(true);
  expect(budget.admit(now + MINUTE / 6).admitted).toBe(false);
});

test("threat-30 tokens an hour: they come back when they are an hour old", () => {
  const budget = new InferenceBudget({ ...none, tokensPerHour: 100 });
  const start = 10 * 60 * MINUTE;
  budget.admit(start);
  budget.ended(start, 99);
  expect(budget.admit(start + 30 * MINUTE).admitted).toBe(true);
  budget.ended(start + 30 * MINUTE, 1);
  const refused = budget.admit(start + 31 * MINUTE);
  expect(refused).toMatchObject({ admitted: false });
  const wait = refused.admitted ? 0 : refused.retryAfter * 1000;
  expect(budget.admit(start + 31 * MINUTE + wait - MINUTE).admitted).toBe(false);
  expect(budget.admit(start + 31 * MINUTE + wait).admitted).toBe(true);
});

test("requests at once, given back when they end", () => {
  const budget = new InferenceBudget({ ...none, concurrentRequests: 2 });
  expect([budget.admit(0), budget.admit(0), budget.admit(0)].map(({ admitted }) => admitted)).toEqual([true, true, false]);
  budget.ended(0, 0);
  expect(budget.admit(0).admitted).toBe(true);
});

test("zero is no limit, and limits change at once", () => {
  const budget = new InferenceBudget(none);
  for (let i = 0; i < 1000; i++) expect(budget.admit(0).admitted).toBe(true);
  budget.limits = { ...none, concurrentRequests: 1000 };
  expect(budget.admit(0).admitted).toBe(false);
});
