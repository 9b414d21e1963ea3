/** Somebody who can write where a download goes (a sandbox that has it mounted) exchanges directories for links meanwhile. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { checkSpace } from "./free-space.ts";
import { archiveOf, type Given } from "./hostile-archive.ts";
import { openStaging, place, type Staging } from "./place.ts";
import { Unpacker } from "./unpack.ts";

let directory: string;
let outside: string;
let destination: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "exchange-"));
  outside = join(directory, "outside");
  destination = join(directory, "shared/destination");
  mkdirSync(join(outside, "kept"), { recursive: true });
  writeFileSync(join(outside, "kept/file"), "untouched");
  mkdirSync(join(destination, "sub"), { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ENTRIES: readonly Given[] = [
  { name: "d", type: "directory" },
  { name: "d/sub", type: "directory" },
  { name: "d/sub/file", content: "evil" },
  { name: "d/sub/again", type: "hardlink", to: "d/sub/file" },
  { name: "d/sub/link", to: "file" },
];

/** An archive in two pieces, the second of which begins with entry `at`. */
function pieces(at: number): [Buffer, Buffer] {
  const whole = archiveOf(ENTRIES);
  const cut = archiveOf(ENTRIES.slice(0, at)).length - archiveOf([]).length;
  return [whole.subarray(0, cut), whole.subarray(cut)];
}

function exchange(path: string): void {
  renameSync(path, `${path}.before`);
  symlinkSync(outside, path);
}

function untouched(): void {
  expect(readdirSync(outside)).toEqual(["kept"]);
  expect(readdirSync(join(outside, "kept"))).toEqual(["file"]);
  expect(readFileSync(join(outside, "kept/file"), "utf8")).toBe("untouched");
}

function unpackAll(staging: Staging, between: () => void = () => {}, at = 2) {
  const unpacker = new Unpacker(staging.held, staging.path);
  try {
    const [first, second] = pieces(at);
    unpacker.push(first);
    between();
    unpacker.push(second);
    return unpacker.finish();
  } finally {
    unpacker.close();
  }
}

for (const at of [2, 3])
  test(`threat-15 a directory of what had come is exchanged for a link before entry ${at}: nothing is written there`, async () => {
    {
      await using staging = openStaging(destination);
      const sub = join(staging.path, "sub");
      expect(() => unpackAll(staging, () => exchange(sub), at)).toThrow(`${sub} was exchanged`);
      untouched();
    }
    untouched();
    expect(readdirSync(join(directory, "shared"))).toEqual(["destination"]);
  });

test("threat-15 a file of what had come is exchanged for a link: no content of what it leads to arrives", async () => {
  await using staging = openStaging(destination);
  const swap = (): void => {
    rmSync(join(staging.path, "sub/file"));
    symlinkSync(join(outside, "kept/file"), join(staging.path, "sub/file"));
  };
  expect(() => unpackAll(staging, swap, 3)).toThrow("was exchanged");
  expect(existsSync(join(staging.path, "sub/again"))).toBe(false);
  untouched();
});

test("threat-15 the private directory is exchanged for a link: what came is in the one that is held, which is emptied", async () => {
  {
    await using staging = openStaging(destination);
    unpackAll(staging, () => exchange(staging.held.base));
    untouched();
    place(staging, { files: ["sub/file"], directories: ["", "sub"], links: [], refused: [], bytes: 4 });
  }
  untouched();
  expect(readFileSync(join(destination, "sub/file"), "utf8")).toBe("evil");
  const left = readdirSync(join(directory, "shared")).filter((name) => name.endsWith(".before"));
  expect(left.map((name) => readdirSync(join(directory, "shared", name)))).toEqual([[]]);
});

test("threat-15 the destination is exchanged for a link: it is named, and nothing is written there", async () => {
  await using staging = openStaging(destination);
  const unpacked = unpackAll(staging);
  exchange(destination);
  expect(() => place(staging, unpacked)).toThrow(`${destination} was exchanged`);
  untouched();
});

test("threat-15 a link takes the place of a destination that was not there: it is replaced or refused, never followed", async () => {
  const fresh = join(directory, "shared/fresh");
  await using staging = openStaging(fresh);
  const unpacked = unpackAll(staging);
  symlinkSync(outside, fresh);
  expect(() => place(staging, unpacked)).toThrow(`${fresh} is not a directory`);
  untouched();
});

test("threat-15 a destination that is a link from the beginning is refused", async () => {
  const link = join(directory, "shared/link");
  symlinkSync(destination, link);
  await using staging = openStaging(link);
  expect(() => place(staging, unpackAll(staging))).toThrow(`${link} is not a directory`);
  expect(readdirSync(join(destination, "sub"))).toEqual([]);
});

/** Exchanges what it is given for links to its first argument and back, until it is ended. */
const RACER = `
const { readdirSync, renameSync, symlinkSync, unlinkSync } = require("node:fs");
const [outside, shared] = process.argv.slice(1);
const quietly = (use) => { try { use(); } catch {} };
console.log("racing");
const end = Date.now() + 60_000;
while (Date.now() < end) {
  let names = [];
  quietly(() => { names = readdirSync(shared).filter((name) => name.includes(".download-") && !name.endsWith(".x")); });
  const paths = [shared + "/destination/sub", ...names.flatMap((name) => [shared + "/" + name + "/content/sub", shared + "/" + name + "/content"])];
  for (const path of paths) {
    quietly(() => {
      renameSync(path, path + ".x");
      try { symlinkSync(outside, path); } catch {}
      quietly(() => unlinkSync(path));
      quietly(() => renameSync(path + ".x", path));
    });
  }
}`;

test("threat-15 whoever exchanges directories all the time gets nothing written or removed outside", async () => {
  const racer = Bun.spawn([process.execPath, "-e", RACER, outside, join(directory, "shared")], { stdout: "pipe", stderr: "ignore" });
  const seen = { whole: 0, refused: 0 };
  try {
    for await (const _ of racer.stdout) break;
    for (let round = 0; round < 300; round += 1) {
      await using staging = openStaging(destination);
      try {
        place(staging, unpackAll(staging));
        seen.whole += 1;
      } catch (error) {
        expect(error).toBeInstanceOf(OpenShellError);
        seen.refused += 1;
      }
    }
  } finally {
    racer.kill();
    await racer.exited;
  }
  untouched();
  console.error(seen);
  expect(seen.whole + seen.refused).toBe(300);
}, 60_000);

test("threat-15 a download that would leave too little free is refused with both numbers, before any of it is written", async () => {
  await using staging = openStaging(destination);
  const space = { free: 1.5 * 1024 ** 3, total: 1024 ** 4 };
  const unpacker = new Unpacker(staging.held, staging.path, { space: () => space });
  unpacker.push(archiveOf([{ name: "d", content: "small" }]));
  expect(() => checkSpace(space, 2 * 1024 ** 4, "large")).toThrow("large takes 2.0 TiB more, and 1.5 GiB are free");
  expect(() => checkSpace(space, 1024 ** 3, "large")).toThrow("1.0 GiB stay free");
  expect(() => checkSpace({ free: 100, total: 1000 }, 49, "little")).not.toThrow();
  expect(() => checkSpace({ free: 100, total: 1000 }, 51, "little")).toThrow("50 B stay free");
  const full = new Unpacker(staging.held, `${staging.path}2`, { space: () => ({ free: 10, total: 1024 ** 4 }) });
  expect(() => full.push(archiveOf([{ name: "d", content: "small" }]))).toThrow("the file takes 5 B more");
  expect(existsSync(`${staging.path}2`)).toBe(false);
});
