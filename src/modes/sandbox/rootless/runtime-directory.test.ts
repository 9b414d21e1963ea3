import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { userRuntimeDirectory } from "./runtime-directory.ts";

const uid = process.getuid?.() ?? 0;
let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "openshell-runtime-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

test("below a private XDG_RUNTIME_DIR, made when it is missing", () => {
  const path = userRuntimeDirectory(uid, { XDG_RUNTIME_DIR: base });
  expect(path).toBe(join(base, "openshell"));
  expect(existsSync(path)).toBe(true);
  expect(userRuntimeDirectory(uid, { XDG_RUNTIME_DIR: base })).toBe(path);
});

test("one that others may look into, or is a link, is not used", () => {
  chmodSync(base, 0o755);
  expect(userRuntimeDirectory(uid, { XDG_RUNTIME_DIR: base })).not.toStartWith(base);
  chmodSync(base, 0o700);
  mkdirSync(join(base, "elsewhere"), { mode: 0o700 });
  symlinkSync("elsewhere", join(base, "openshell"));
  expect(() => userRuntimeDirectory(uid, { XDG_RUNTIME_DIR: base })).toThrow("not a private directory");
});
