import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "./remove-tree.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "remove-"));
});
afterEach(() => void Bun.spawnSync({ cmd: ["rm", "-rf", directory] }));

test("everything goes, links are not followed, what is missing is no error", async () => {
  const top = join(directory, "top");
  mkdirSync(join(top, "a/b/c"), { recursive: true });
  mkdirSync(join(top, "a/b/closed/in"), { recursive: true });
  chmodSync(join(top, "a/b/closed"), 0);
  mkdirSync(join(directory, "outside"));
  writeFileSync(join(directory, "outside/kept"), "kept");
  symlinkSync(join(directory, "outside"), join(top, "a/b/link"));
  symlinkSync("nowhere", join(top, "a/dangling"));
  writeFileSync(Buffer.concat([Buffer.from(`${top}/a/`), Buffer.from([0xff, 0x0a, 0xfe])]), "");
  for (let index = 0; index < 200; index += 1) writeFileSync(join(top, `a/b/c/${index}`), "");
  await removeTree(top);
  expect(existsSync(top)).toBe(false);
  expect(readFileSync(join(directory, "outside/kept"), "utf8")).toBe("kept");
  await removeTree(top);
});

test("threat-16 a tree that is thousands of directories deep is removed in so many steps, and others have their turn", async () => {
  const top = join(directory, "top");
  const deep = 'mkdir($ARGV[0]); chdir($ARGV[0]); for (1..1000) { mkdir("d" x 200) or die; chdir("d" x 200) or die } open(F, ">x") or die';
  expect(Bun.spawnSync({ cmd: ["perl", "-e", deep, top] }).exitCode).toBe(0);
  let turns = 0;
  const timer = setInterval(() => {
    turns += 1;
  }, 1);
  await removeTree(top);
  clearInterval(timer);
  expect(existsSync(top)).toBe(false);
  expect(turns).toBeGreaterThan(10);
});
