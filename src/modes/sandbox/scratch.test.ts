import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openScratch } from "./scratch.ts";

test("a scratch directory is the agent's, lives as long as its supervisor, and abandoned ones go", () => {
  const base = mkdtempSync(join(tmpdir(), "openshell-scratch-"));
  try {
    mkdirSync(join(base, "run-killed/workspace"), { recursive: true });
    const first = openScratch({ uid: 12345, gid: 12345 }, base);
    expect(existsSync(join(base, "run-killed"))).toBe(false);
    expect(statSync(first.workspace).uid).toBe(12345);
    const second = openScratch({ uid: 12346, gid: 12346 }, base);
    expect(existsSync(first.workspace)).toBe(true);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    expect(readdirSync(base)).toEqual([]);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
