import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { groupName, groupOwner, removeLeftGroups } from "./cgroup-sweep.ts";
import { machineHierarchies } from "./hierarchies.ts";

const afterwards: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of afterwards.splice(0).reverse()) await end();
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "openshell-owner-"));
  afterwards.push(() => rmSync(path, { recursive: true }));
  return path;
}

test("a directory has one owner, by whatever way it is named; another directory, in its place too, has another", () => {
  const base = directory();
  mkdirSync(join(base, "state"));
  symlinkSync("state", join(base, "link"));
  const owner = groupOwner(join(base, "state"));
  expect(owner).toMatch(/^[0-9a-f]{16}$/);
  expect(groupOwner(join(base, "link"))).toBe(owner);
  renameSync(join(base, "state"), join(base, "old"));
  mkdirSync(join(base, "state"));
  expect(groupOwner(join(base, "state"))).not.toBe(owner);
});

const { all } = machineHierarchies();
const usable = process.getuid?.() === 0 && all.some(({ parent }) => parent !== undefined);

test.skipIf(!usable)("empty groups of sandboxes that are gone go; those that are known, not empty or of others stay", async () => {
  const owner = groupOwner(directory());
  const other = groupOwner(directory());
  const make = (who: string, id: string): string[] =>
    all.flatMap(({ parent }) => {
      if (parent === undefined) return [];
      const group = join(parent, groupName(who, id));
      mkdirSync(join(group, "supervisor"), { recursive: true });
      afterwards.push(() => removeLeftGroups(who, () => false));
      return [group];
    });
  const [gone, known, busy, foreign] = [make(owner, "gone"), make(owner, "known"), make(owner, "busy"), make(other, "gone")];
  const sleeper = Bun.spawn(["/bin/sleep", "1000"]);
  afterwards.push(async () => {
    sleeper.kill("SIGKILL");
    await sleeper.exited;
  });
  for (const group of busy) writeFileSync(join(group, "supervisor", "cgroup.procs"), String(sleeper.pid));
  expect(removeLeftGroups(owner, (id) => id === "known")).toEqual(["gone"]);
  expect(gone.filter(existsSync)).toEqual([]);
  for (const groups of [known, busy, foreign]) expect(groups.filter(existsSync)).toEqual(groups);
  expect(sleeper.killed).toBe(false);
});
