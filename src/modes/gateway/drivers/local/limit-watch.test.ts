import { expect, test } from "bun:test";
import type { Refusals } from "./cgroups.ts";
import { LimitWatch } from "./limit-watch.ts";

test("every process that was killed is told once, that no more were started once and for all", () => {
  let now: Refusals = { killed: 2, notStarted: 0 };
  const watch = new LimitWatch({ refusals: () => now }, { memoryBytes: 256 * 2 ** 20, pids: 64 });
  // What happened before it looked was told by whoever looked then.
  expect(watch.news()).toEqual([]);
  now = { killed: 3, notStarted: 0 };
  expect(watch.news()).toEqual(["The kernel killed a process: the memory limit of 256 MiB was reached"]);
  expect(watch.news()).toEqual([]);
  now = { killed: 5, notStarted: 40 };
  expect(watch.news()).toEqual([
    "The kernel killed 2 processes: the memory limit of 256 MiB was reached",
    "The limit of 64 processes and threads was reached; no more were started",
  ]);
  now = { killed: 5, notStarted: 4000 };
  expect(watch.news()).toEqual([]);
});
