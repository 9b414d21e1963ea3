import { expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openScratch } from "./scratch.ts";

test("a scratch directory is the agent's, lives as long as its supervisor, and abandoned ones go", async () => {
  const base = mkdtempSync(join(tmpdir(), "openshell-scratch-"));
  try {
    mkdirSync(join(base, "run-killed/workspace"), { recursive: true });
    const first = openScratch({ uid: 12345, gid: 12345 }, base);
    while (existsSync(join(base, "run-killed"))) await Bun.sleep(5);
    expect(statSync(first.workspace).uid).toBe(12345);
    const second = openScratch({ uid: 12346, gid: 12346 }, base);
    expect(existsSync(first.workspace)).toBe(true);
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
    expect(readdirSync(base)).toEqual([]);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

test("threat-16 a scratch that a program left thousands of directories deep is removed", async () => {
  const base = mkdtempSync(join(tmpdir(), "openshell-scratch-"));
  try {
    const scratch = openScratch({ uid: 12345, gid: 12345 }, base);
    const deep = 'chdir($ARGV[0]); for (1..1000) { mkdir("d" x 200) or die; chdir("d" x 200) or die } open(F, ">x") or die';
    expect(Bun.spawnSync({ cmd: ["perl", "-e", deep, scratch.workspace] }).exitCode).toBe(0);
    await scratch[Symbol.asyncDispose]();
    expect(readdirSync(base)).toEqual([]);
  } finally {
    Bun.spawnSync({ cmd: ["rm", "-rf", base] });
  }
});
