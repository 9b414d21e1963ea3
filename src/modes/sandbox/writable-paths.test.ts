import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isInsideWritablePath } from "./writable-paths.ts";

test("threat-03 a path counts as writable through links on either side", () => {
  const base = mkdtempSync(join(tmpdir(), "openshell-writable-"));
  try {
    mkdirSync(join(base, "project"));
    writeFileSync(join(base, "project/policy.yaml"), "");
    symlinkSync(join(base, "project/policy.yaml"), join(base, "policy.yaml"));
    symlinkSync(join(base, "project"), join(base, "alias"));
    const inside = (path: string, mounted: string[]) =>
      isInsideWritablePath(join(base, path), { policyPaths: [], mounted: mounted.map((name) => join(base, name)) });
    expect(inside("project/policy.yaml", ["project"])).toBe(true);
    expect(inside("policy.yaml", ["project"])).toBe(true);
    expect(inside("project/policy.yaml", ["alias"])).toBe(true);
    expect(inside("alias/not-there-yet.yaml", ["project"])).toBe(true);
    expect(inside("project-2/policy.yaml", ["project"])).toBe(false);
    expect(inside("project/policy.yaml", [])).toBe(false);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

test("a policy's own places of the box are not the host's", () => {
  expect(isInsideWritablePath("/etc/openshell/policy.yaml", { policyPaths: ["/etc", "/tmp"], mounted: [] })).toBe(false);
  expect(isInsideWritablePath("/home/me/policy.yaml", { policyPaths: ["/home/me"], mounted: [] })).toBe(true);
});
