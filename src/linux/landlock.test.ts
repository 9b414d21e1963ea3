import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { handledRights, LANDLOCK_MINIMUM_ABI, landlockAbi } from "./landlock.ts";

const abi = landlockAbi();
const missing = abi < LANDLOCK_MINIMUM_ABI || process.getuid?.() !== 0;
if (missing) console.log("skipped: Landlock in force: the kernel has none of version 2, or the tests do not run as root");

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "openshell-landlock-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Restricts a process of its own and tries everything in it; answers `ok` or the error's code for each attempt. */
function inside(version: number): Record<string, string> {
  const place = mkdtempSync(join(folder, "case-"));
  for (const name of ["read", "write/one", "write/two", "device", "other"]) mkdirSync(join(place, name), { recursive: true });
  for (const name of ["read/file", "write/one/file", "device/file", "other/file", "single"]) writeFileSync(join(place, name), "text");
  const script = `
    const fs = require("node:fs");
    const { createRuleset, restrictSelf } = require(${JSON.stringify(join(import.meta.dir, "landlock.ts"))});
    const at = (name) => ${JSON.stringify(place)} + "/" + name;
    const rule = (name, access, required = true) => ({ path: at(name), access, required });
    restrictSelf(createRuleset(${version}, [
      rule("read", "read"), rule("write", "write"), rule("device", "device"), rule("single", "write"), rule("absent", "read", false),
    ]));
    const attempts = {
      read: () => fs.readFileSync(at("read/file")),
      overwrite: () => fs.closeSync(fs.openSync(at("read/file"), "r+")),
      truncate: () => fs.truncateSync(at("read/file"), 0),
      other: () => fs.readFileSync(at("other/file")),
      create: () => fs.writeFileSync(at("write/one/new"), ""),
      refer: () => fs.renameSync(at("write/one/file"), at("write/two/file")),
      escape: () => fs.renameSync(at("write/two/file"), at("other/new")),
      useDevice: () => fs.closeSync(fs.openSync(at("device/file"), "r+")),
      makeDevice: () => fs.writeFileSync(at("device/new"), ""),
      single: () => fs.closeSync(fs.openSync(at("single"), "r+")),
    };
    const results = {};
    for (const [name, attempt] of Object.entries(attempts)) {
      try { attempt(); results[name] = "ok"; } catch (error) { results[name] = error.code; }
    }
    console.log(JSON.stringify(results));`;
  const { stdout, stderr } = Bun.spawnSync({ cmd: [process.execPath, "-e", script], stdout: "pipe", stderr: "pipe" });
  if (stdout.length === 0) throw new Error(stderr.toString());
  return JSON.parse(stdout.toString());
}

const EXPECTED = {
  read: "ok",
  overwrite: "EACCES",
  truncate: "EACCES",
  other: "EACCES",
  create: "ok",
  refer: "ok",
  useDevice: "ok",
  makeDevice: "EACCES",
  single: "ok",
};

test.skipIf(missing)("with this kernel's version: what is not listed is refused, files move between listed directories and not out", () => {
  const { escape: moved, ...results } = inside(abi);
  expect(results).toEqual(abi >= 3 ? EXPECTED : { ...EXPECTED, truncate: "ok" });
  expect(["EACCES", "EXDEV"]).toContain(moved ?? "");
});

test.skipIf(missing)("version 2 is enough for everything but truncation", () => {
  const { escape: moved, ...results } = inside(2);
  expect(results).toEqual({ ...EXPECTED, truncate: "ok" });
  expect(["EACCES", "EXDEV"]).toContain(moved ?? "");
});

test("rights are used when the kernel has them: REFER from 2, TRUNCATE from 3, IOCTL_DEV from 5", () => {
  const has = (version: number, bit: number) => (handledRights(version) & (1 << bit)) !== 0;
  expect([2, 3, 4, 5, 9].map((version) => [has(version, 13), has(version, 14), has(version, 15)])).toEqual([
    [true, false, false],
    [true, true, false],
    [true, true, false],
    [true, true, true],
    [true, true, true],
  ]);
});

test.skipIf(missing)("a required path that is missing is an error", () => {
  const script = `require(${JSON.stringify(join(import.meta.dir, "landlock.ts"))}).createRuleset(2, [{ path: "/nowhere", access: "read", required: true }])`;
  const { exitCode, stderr } = Bun.spawnSync({ cmd: [process.execPath, "-e", script], stdout: "ignore", stderr: "pipe" });
  expect(exitCode).not.toBe(0);
  expect(stderr.toString()).toContain("ENOENT");
});
