import { expect, test } from "bun:test";
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testGateway } from "./gateway.test-support.ts";

test.skipIf(process.getuid?.() !== 0)("a state directory of somebody else is refused before anything is put there", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gateway-"));
  const state = join(directory, "state");
  mkdirSync(state);
  chownSync(state, 1002, 1002);
  await expect(testGateway({}, directory)).rejects.toThrow("belongs to uid 1002");
  expect(readdirSync(state)).toEqual([]);
  rmSync(directory, { recursive: true });
});
