import { afterEach, beforeEach, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { addManagedHost, withHost } from "./managed-config.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "home with blank-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const host = (name: string, user = "sandbox") => ({ alias: `openshell-${name}.default`, options: { User: user } });
const env = () => ({ HOME: home, XDG_CONFIG_HOME: join(home, "cfg") });
const own = () => readFileSync(join(home, ".ssh/config"), "utf8");
const resolved = (name: string) =>
  Bun.spawnSync(["ssh", "-G", "-F", join(home, ".ssh/config"), `openshell-${name}.default`]).stdout.toString();

test("a host is known to ssh after it was added, and the person's own configuration stays", () => {
  mkdirSync(join(home, ".ssh"));
  writeFileSync(join(home, ".ssh/config"), "Host mine\n    User me\n", { mode: 0o644 });
  addManagedHost(host("a"), env());
  addManagedHost(host("b"), env());
  addManagedHost(host("a", "other"), env());
  expect(resolved("a")).toContain("user other\n");
  expect(resolved("b")).toContain("user sandbox\n");
  expect(own().match(/Include/g)).toHaveLength(1);
  expect(own()).toEndWith("\nHost mine\n    User me\n");
  expect(statSync(join(home, ".ssh/config")).mode & 0o777).toBe(0o644);
});

test("without a configuration one is made, for the person alone; a link stays a link", () => {
  addManagedHost(host("a"), env());
  expect(statSync(join(home, ".ssh")).mode & 0o777).toBe(0o700);
  expect(statSync(join(home, ".ssh/config")).mode & 0o777).toBe(0o600);
  rmSync(join(home, ".ssh/config"));
  writeFileSync(join(home, "dotfile"), "");
  symlinkSync(join(home, "dotfile"), join(home, ".ssh/config"));
  addManagedHost(host("a"), env());
  expect(lstatSync(join(home, ".ssh/config")).isSymbolicLink()).toBe(true);
  expect(resolved("a")).toContain("user sandbox\n");
});

test("only the block of the host itself is replaced", () => {
  const text = withHost(withHost("", host("a")), host("ab"));
  expect(withHost(text, host("a", "x"))).toBe(withHost(withHost("", host("ab")), host("a", "x")));
});
