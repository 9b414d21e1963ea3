import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { HeldTree } from "./held-tree.ts";
import { archiveOf, type Given } from "./hostile-archive.ts";
import { destinationOf, openStaging, place } from "./place.ts";
import { BLOCK_BYTES } from "./tar-entry.ts";
import { isBareRepositoryConfiguration, isToolConfiguration } from "./tool-configuration.ts";
import { staysBelow, type Unpacked, Unpacker } from "./unpack.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "unpack-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function unpack(...entries: readonly Given[]) {
  const root = join(directory, "root");
  using held = new HeldTree(directory);
  const unpacker = new Unpacker(held, root);
  try {
    unpacker.push(archiveOf(entries));
    return { root, ...unpacker.finish() };
  } finally {
    unpacker.close();
  }
}

/** Places what `unpack` made. */
function placeAt(root: string, destination: string, unpacked: Unpacked) {
  using held = new HeldTree(directory);
  using into = new HeldTree(destination);
  const name = basename(destination);
  return place({ path: root, held, parent: held, name, into, [Symbol.asyncDispose]: async () => {} }, unpacked);
}

/** Everything below the test's directory, so that what escaped would show. */
function everything(): string[] {
  return readdirSync(directory, { recursive: true }).map(String).sort();
}

test("threat-15 files, directories and links inside arrive", () => {
  const { root, files } = unpack(
    { name: "d", type: "directory" },
    { name: "d/run", content: "#!/bin/sh\n", mode: 0o755 },
    { name: "d/deep/er/file", content: "x" },
    { name: "d/link", to: "deep/er/file" },
    { name: "d/deep/up", to: "../run" },
  );
  expect(files).toEqual(["run", "deep/er/file"]);
  expect(readFileSync(join(root, "link"), "utf8")).toBe("x");
  expect(readFileSync(join(root, "deep/up"), "utf8")).toBe("#!/bin/sh\n");
  expect(statSync(join(root, "run")).mode & 0o777).toBe(0o755);
});

for (const name of ["../x", "/etc/x", "d/../../x", "d//x", "d/./x", "other/x", "d/..", `d/${"n".repeat(256)}`]) {
  test(`threat-15 a file named ${name.slice(0, 20)} is refused, nothing is written outside`, () => {
    expect(() => unpack({ name: "d", type: "directory" }, { name, content: "evil" })).toThrow("outside what was asked for");
    expect(everything().filter((path) => !path.startsWith("root"))).toEqual([]);
  });
}

test("threat-15 a file is never written through a link of the same archive", () => {
  const outside = join(directory, "outside");
  mkdirSync(outside);
  expect(() =>
    unpack({ name: "d", type: "directory" }, { name: "d/link", to: outside }, { name: "d/link/file", content: "evil" }),
  ).not.toThrow();
  expect(readdirSync(outside)).toEqual([]);
  expect(lstatSync(join(directory, "root/link")).isDirectory()).toBe(true);
});

const links: readonly (readonly [string, string, boolean])[] = [
  ["a", "b", true],
  ["a", "./b/c", true],
  ["d/a", "../b", true],
  ["d/a", "../../b", false],
  ["a", "..", false],
  ["a", "/etc/passwd", false],
  ["d/a", "x/../../..", false],
  ["d/a", "x/..", false],
  ["a", "", false],
  ["d/e/a", "../../b/c", true],
];
for (const [path, target, stays] of links)
  test(`threat-15 a link ${path} to ${target || "nothing"} ${stays ? "stays" : "is left out"}`, () =>
    expect(staysBelow(path, target)).toBe(stays));

test("threat-15 links that lead out, devices, pipes and foreign hard links are left out and named", () => {
  const { root, refused } = unpack(
    { name: "d", type: "directory" },
    { name: "d/passwd", to: "/etc/passwd" },
    { name: "d/disk", type: "device" },
    { name: "d/pipe", type: "pipe" },
    { name: "d/hard", type: "hardlink", to: "d/missing" },
  );
  expect(readdirSync(root)).toEqual([]);
  expect(refused.map(({ path }) => path).sort()).toEqual(["disk", "hard", "passwd", "pipe"]);
});

test("threat-15 a hard link to a path outside is refused", () => {
  expect(() => unpack({ name: "d", type: "directory" }, { name: "d/hard", type: "hardlink", to: "/etc/shadow" })).toThrow("outside");
});

test("threat-15 a hard link inside becomes a file of its own", () => {
  const { root } = unpack({ name: "d/one", content: "same" }, { name: "d/two", type: "hardlink", to: "d/one" });
  writeFileSync(join(root, "one"), "changed");
  expect(readFileSync(join(root, "two"), "utf8")).toBe("same");
});

test("threat-15 hard links are no way to fill a disk: copies are made up to a limit, then left out and named", () => {
  using held = new HeldTree(directory);
  const unpacker = new Unpacker(held, join(directory, "root"), { maxCopied: 1000 });
  const again = ["a", "b", "c", "e"].map((name) => ({ name: `d/${name}`, type: "hardlink" as const, to: "d/file" }));
  unpacker.push(archiveOf([{ name: "d/file", content: "x".repeat(600) }, ...again]));
  const { files, refused } = unpacker.finish();
  expect(files).toEqual(["file", "a", "b"]);
  expect(refused.map(({ path }) => path)).toEqual(["c", "e"]);
  expect(refused[0]?.reason).toContain("too many copies");
});

for (const [what, entries] of [
  [
    "a file below a file",
    [
      { name: "d/x", content: "1" },
      { name: "d/x/y", content: "2" },
    ],
  ],
  [
    "a file where a directory is",
    [
      { name: "d/x", type: "directory" },
      { name: "d/x", content: "1" },
    ],
  ],
  [
    "a directory where a file is",
    [
      { name: "d/x", content: "1" },
      { name: "d/x", type: "directory" },
    ],
  ],
  [
    "a link below a link",
    [
      { name: "d/f", content: "" },
      { name: "d/x", to: "f" },
      { name: "d/x/y", to: "f" },
    ],
  ],
  [
    "a second name where a file is",
    [
      { name: "d/x", content: "1" },
      { name: "d/y", content: "2" },
      { name: "d/y", type: "hardlink", to: "d/x" },
    ],
  ],
] satisfies readonly (readonly [string, readonly Given[]])[])
  test(`an archive with ${what} is an error with a sentence`, () => {
    let thrown: unknown;
    try {
      unpack(...entries);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(OpenShellError);
    expect(String(thrown)).toContain("two things in it have one name");
  });

test("a time that no file can have is the latest that it can", () => {
  const archive = archiveOf([{ name: "d", content: "x" }]);
  archive.write("77777777777\0", 136);
  archive.write("        ", 148);
  const sum = archive.subarray(0, BLOCK_BYTES).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  using held = new HeldTree(directory);
  const unpacker = new Unpacker(held, join(directory, "root"));
  unpacker.push(archive);
  unpacker.finish();
  expect(Math.floor(statSync(join(directory, "root")).mtimeMs / 1000)).toBe(0xffff_ffff);
});

test("threat-15 set-user-id, set-group-id and write permission for others do not arrive", () => {
  const { root } = unpack({ name: "d/root-shell", content: "x", mode: 0o6777 }, { name: "d/private", content: "x", mode: 0o600 });
  expect(statSync(join(root, "root-shell")).mode & 0o7777).toBe(0o755);
  expect(statSync(join(root, "private")).mode & 0o7777).toBe(0o600);
});

test("a single file is the root itself", () => {
  const { root, files } = unpack({ name: "report", content: "text" });
  expect(files).toEqual([""]);
  expect(readFileSync(root, "utf8")).toBe("text");
});

test("threat-15 over what is there: links are replaced, not followed, and what changed is said", () => {
  const destination = join(directory, "destination");
  const outside = join(directory, "outside");
  mkdirSync(destination);
  writeFileSync(outside, "untouched");
  writeFileSync(join(destination, "same"), "same");
  writeFileSync(join(destination, "other"), "before");
  symlinkSync(outside, join(destination, "link"));
  const { root, ...unpacked } = unpack(
    { name: "d", type: "directory" },
    { name: "d/same", content: "same" },
    { name: "d/other", content: "after!" },
    { name: "d/link", content: "new" },
    { name: "d/new", to: "same" },
  );
  expect([...placeAt(root, destination, unpacked).changed].sort()).toEqual(["link", "new", "other"]);
  expect(readFileSync(outside, "utf8")).toBe("untouched");
  expect(readFileSync(join(destination, "link"), "utf8")).toBe("new");
  expect(readlinkSync(join(destination, "new"))).toBe("same");
});

test("threat-15 a directory of the destination that is a link is refused", () => {
  const destination = join(directory, "destination");
  const outside = join(directory, "outside");
  mkdirSync(destination);
  mkdirSync(outside);
  symlinkSync(outside, join(destination, "sub"));
  const { root, ...unpacked } = unpack(
    { name: "d", type: "directory" },
    { name: "d/sub", type: "directory" },
    { name: "d/sub/file", content: "evil" },
  );
  expect(() => placeAt(root, destination, unpacked)).toThrow("is not a directory");
  expect(readdirSync(outside)).toEqual([]);
});

test("a destination is read as cp reads it", () => {
  mkdirSync(join(directory, "there"));
  expect(destinationOf(join(directory, "there"), "name", false)).toBe(join(directory, "there/name"));
  expect(destinationOf(join(directory, "new"), "name", false)).toBe(join(directory, "new"));
  expect(destinationOf(join(directory, "there"), "name", true)).toBe(join(directory, "there"));
});

test("staging is private, beside the destination, and gone afterwards", async () => {
  let parent = "";
  {
    await using staging = openStaging(join(directory, "target"));
    parent = join(staging.path, "..");
    expect(statSync(parent).mode & 0o777).toBe(0o700);
  }
  expect(existsSync(parent)).toBe(false);
});

test("threat-15 what tools obey is known by its name", () => {
  for (const path of [
    ".git/config",
    ".git/hooks/pre-commit",
    "sub/.envrc",
    ".vscode/tasks.json",
    "package.json",
    ".github/workflows/ci.yml",
    "Makefile",
    ".GIT/config",
    ".gitconfig",
    ".zshenv",
    ".ssh/config",
    "web/vite.config.mts",
    "site-packages/x.pth",
    "all.code-workspace",
  ])
    expect([path, isToolConfiguration(path)]).toEqual([path, true]);
  for (const path of ["src/main.ts", "README.md", "git/config"]) expect([path, isToolConfiguration(path)]).toEqual([path, false]);
});

test("threat-15 a repository without .git is known by what git takes it for", () => {
  const bare = new Set(["doc/HEAD", "doc/objects", "doc/refs", "doc/config", "src/config", "src/HEAD"]);
  const holds = (path: string): boolean => bare.has(path);
  expect(isBareRepositoryConfiguration("doc/config", holds)).toBe(true);
  expect(isBareRepositoryConfiguration("src/config", holds)).toBe(false);
  expect(isBareRepositoryConfiguration("config", (path) => ["HEAD", "objects", "refs"].includes(path))).toBe(true);
});
