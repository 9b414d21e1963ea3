import { expect, test } from "bun:test";
import { Schedule } from "./schedule.ts";

test("1 s after the first new key, 10 s while new keys arrive, doubling to 2 min when quiet", () => {
  const schedule = new Schedule();
  expect(schedule.next()).toBeUndefined();
  schedule.newKey(0);
  schedule.newKey(500);
  expect(schedule.next()).toBe(1000);
  schedule.ticked(1000, false);
  expect(schedule.next()).toBe(11_000);
  schedule.newKey(3000);
  expect(schedule.next()).toBe(11_000);
  schedule.ticked(11_000, false);
  expect(schedule.next()).toBe(21_000);
  let now = 21_000;
  const gaps: number[] = [];
  for (let i = 0; i < 6; i++) {
    schedule.ticked(now, true);
    gaps.push((schedule.next() ?? 0) - now);
    now = schedule.next() ?? 0;
  }
  expect(gaps).toEqual([20_000, 40_000, 80_000, 120_000, 120_000, 120_000]);
  schedule.newKey(now - 50_000);
  expect(schedule.next()).toBe(now - 49_000);
});

test("nothing waits: no tick; a known key after quiet is looked at in due time", () => {
  const schedule = new Schedule();
  schedule.newKey(0);
  schedule.ticked(1000, false);
  schedule.ticked(11_000, false);
  expect(schedule.next()).toBeUndefined();
  schedule.knownKey(50_000);
  expect(schedule.next()).toBe(70_000);
  schedule.nudge(51_000);
  expect(schedule.next()).toBe(52_000);
});

test("three submissions in a burst, then one per 5 s", () => {
  const schedule = new Schedule();
  expect([0, 0, 0].map((now) => schedule.takeSubmission(now))).toEqual([true, true, true]);
  expect(schedule.takeSubmission(1000)).toBe(5000);
  expect(schedule.next()).toBe(5000);
  expect(schedule.takeSubmission(5000)).toBe(true);
  expect(schedule.takeSubmission(9999)).toBe(10_000);
  expect([60_000, 60_000, 60_000].map((now) => schedule.takeSubmission(now))).toEqual([true, true, true]);
  expect(schedule.takeSubmission(60_001)).toBe(65_000);
});
