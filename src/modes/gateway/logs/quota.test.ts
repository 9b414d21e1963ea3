import { expect, test } from "bun:test";
import { LogQuota } from "./quota.ts";

test("threat-30 a flood of one sandbox is cut and counted, another's lines pass, and there is room again later", () => {
  let now = 0;
  const quota = new LogQuota({ now: () => now });
  const kibibyte = () => 1024;
  const flood = Array.from({ length: 3000 }, (_, index) => index);
  expect(quota.admit("a", flood, kibibyte)).toMatchObject({ lines: { length: 1024 }, dropped: 0 });
  expect(quota.admit("b", ["calm"], kibibyte)).toEqual({ lines: ["calm"], dropped: 0 });
  now += 1000;
  const later = quota.admit("a", flood.slice(0, 100), kibibyte);
  expect([later.lines.length, later.dropped]).toEqual([64, 1976]);
  now += 60_000;
  expect(quota.admit("a", ["last"], kibibyte)).toEqual({ lines: ["last"], dropped: 36 });
});
