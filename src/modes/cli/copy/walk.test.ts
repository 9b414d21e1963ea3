import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { packTree } from "./pack.ts";
import { type LocalTree, walkLocal } from "./walk.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "walk-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function put(files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
}

function paths(path = directory, gitIgnore = true): string[] {
  return walkLocal(path, { gitIgnore })
    .entries.filter(({ kind }) => kind !== "directory")
    .map((entry) => entry.path)
    .sort();
}

test("ignore rules of every level hold, deeper ones overrule", () => {
  put({
    ".git/config": "[core]",
    ".gitignore": "node_modules/\n*.log\n/build\n",
    "src/a.ts": "",
    "src/debug.log": "",
    "keep/.gitignore": "!important.log\n",
    "keep/important.log": "",
    "keep/other.log": "",
    "node_modules/x/index.js": "",
    "build/out": "",
    "src/build/in": "",
  });
  expect(paths()).toEqual([".gitignore", "keep/.gitignore", "keep/important.log", "src/a.ts", "src/build/in"]);
  expect(paths(join(directory, "src"))).toEqual(["a.ts", "build/in"]);
  expect(paths(directory, false)).toContain(".git/config");
});

test("outside a work tree, and in a directory that is ignored itself, nothing is left out", () => {
  put({ ".gitignore": "*\n", file: "" });
  expect(paths()).toEqual([".gitignore", "file"]);
  put({ ".git/HEAD": "", "out/.gitignore": "x\n", "out/x": "" });
  expect(paths(join(directory, "out"))).toEqual([".gitignore", "x"]);
});

test("threat-15 nothing of a repository is run, whatever its configuration names", () => {
  const trap = join(directory, "trap.sh");
  const sprung = join(directory, "sprung");
  put({ "trap.sh": `#!/bin/sh\ntouch ${sprung}\n`, ".git/HEAD": "ref: refs/heads/main\n", "work.txt": "" });
  chmodSync(trap, 0o755);
  writeFileSync(
    join(directory, ".git/config"),
    `[core]\n\tfsmonitor = ${trap}\n\thooksPath = ${directory}\n\tpager = ${trap}\n[include]\n\tpath = ${trap}\n`,
  );
  expect(paths()).toEqual(["trap.sh", "work.txt"]);
  expect(walkLocal(directory, { gitIgnore: true }).entries.some(({ path }) => path === "sprung")).toBe(false);
});

test("threat-15 links are copied as links, and never followed", () => {
  put({ "in/file": "x" });
  symlinkSync("/etc", join(directory, "in/etc"));
  symlinkSync(".", join(directory, "in/loop"));
  const { entries } = walkLocal(join(directory, "in"), { gitIgnore: true });
  expect(entries.map(({ path, kind, target }) => [path, kind, target])).toEqual([
    ["etc", "symlink", "/etc"],
    ["file", "file", ""],
    ["loop", "symlink", "."],
  ]);
});

test("threat-15 a file that became a link since it was listed is not read", async () => {
  put({ file: "x" });
  using tree = walkLocal(join(directory, "file"), { gitIgnore: true });
  rmSync(join(directory, "file"));
  symlinkSync("/etc/hostname", join(directory, "file"));
  await expect(packed(tree)).rejects.toThrow("changed while it was being copied");
});

test("threat-15 a directory that became a link since it was listed is not gone through, nor is what is above it", async () => {
  put({ "project/sub/deep/id": "mine", "secret/deep/id": "secret", "secret/id": "secret" });
  using tree = walkLocal(join(directory, "project"), { gitIgnore: true });
  renameSync(join(directory, "project/sub"), join(directory, "old"));
  symlinkSync("../secret", join(directory, "project/sub"));
  await expect(packed(tree)).rejects.toThrow("changed while it was being copied");
});

test("threat-15 a copied directory that is moved away is still the one that was listed", async () => {
  put({ "project/id": "mine", "secret/id": "secret" });
  using tree = walkLocal(join(directory, "project"), { gitIgnore: true });
  renameSync(join(directory, "project"), join(directory, "old"));
  symlinkSync("secret", join(directory, "project"));
  const archive = await packed(tree);
  expect(archive.includes("mine")).toBe(true);
  expect(archive.includes("secret")).toBe(false);
});

async function packed({ held, entries }: LocalTree): Promise<Buffer> {
  const pieces = await Array.fromAsync(
    packTree(
      held,
      entries,
      (path) => path,
      () => {},
    ),
  );
  return Buffer.concat(pieces);
}

test("what is not there says so", () => {
  expect(() => walkLocal(join(directory, "missing"), { gitIgnore: true })).toThrow("does not exist");
});
