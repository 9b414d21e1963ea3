import { expect, test } from "bun:test";
import type { Refusals } from "./cgroups.ts";
import { LimitWatch } from "./limit-watch.ts";

test("every process that was killed is told once, that no more were started once and for all", () => {
  const peak = 256 * 2 ** 20;
  let now: Refusals = { killed: 2, peak, notStarted: 0 };
  const watch = new LimitWatch({ refusals: () => now }, { memoryBytes: 256 * 2 ** 20, pids: 64 });
  // What happened before it looked was told by whoever looked then.
  expect(watch.news()).toEqual([]);
  now = { killed: 3, peak, notStarted: 0 };
  expect(watch.news()).toEqual([
    "The kernel killed a program in the sandbox: 256 MiB of memory were in use, the limit is 256 MiB (--memory)",
  ]);
  expect(watch.news()).toEqual([]);
  now = { killed: 5, peak: 0, notStarted: 40 };
  expect(watch.news()).toEqual([
    "The kernel killed 2 programs in the sandbox: 256 MiB of memory were in use, the limit is 256 MiB (--memory)",
    "The limit of 64 processes and threads was reached (--pids); no more were started",
  ]);
  now = { killed: 5, peak, notStarted: 4000 };
  expect(watch.news()).toEqual([]);
});
