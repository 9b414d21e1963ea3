import { expect, test } from "bun:test";
import { memoryFiles } from "./memory-files.ts";

const GIB = 2 ** 30;

test("files in memory never fill a limit, and are never larger than without one", () => {
  const free = memoryFiles(undefined, 16 * GIB);
  expect(free).toEqual({ temporary: `${4 * GIB}`, shared: `${Math.floor(1.6 * GIB)}`, log: `${64 * 2 ** 20}` });
  expect(memoryFiles(64 * GIB, 16 * GIB)).toEqual(free);
  for (const limit of [16 * 2 ** 20, 256 * 2 ** 20, 3 * GIB]) {
    const { temporary, shared, log } = memoryFiles(limit, 16 * GIB);
    expect(Number(temporary) + Number(shared) + 2 * Number(log)).toBeLessThanOrEqual((limit * 7) / 8);
  }
});
