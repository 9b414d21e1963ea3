import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { restrictiveDefault } from "../../policy/defaults.ts";
import { discoverPolicy, readPolicyFile } from "./policy-source.ts";

// Not under /tmp: everyone may write there, which is exactly what discovery refuses.
let directory: string;
beforeAll(() => {
  mkdirSync("/var/lib/openshell-test", { recursive: true, mode: 0o755 });
  directory = mkdtempSync("/var/lib/openshell-test/policy-");
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync("/var/lib/openshell-test", { recursive: true, force: true }));

const VALID =
  "version: 1\nnetwork_policies:\n  one:\n    endpoints: [{host: example.com, port: 443}]\n    binaries: [{path: /usr/bin/curl}]\n";

function place(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode: 0o644 });
  return path;
}

test("case-14 a policy on disk is used, and it says from where", () => {
  const path = place("good.yaml", VALID);
  const found = discoverPolicy([join(directory, "absent.yaml"), path]);
  expect(found.source).toBe(path);
  expect(Object.keys(found.policy.networkPolicies)).toEqual(["one"]);
});

test("case-16 no file: the restrictive default", () => {
  const found = discoverPolicy([join(directory, "absent.yaml")]);
  expect(found.policy).toEqual(restrictiveDefault());
});

test("case-17 a file with unsafe content is not used, and the note says why", () => {
  const path = place("unsafe.yaml", "version: 1\nfilesystem_policy: {read_write: [/]}\n");
  const found = discoverPolicy([path]);
  expect(found.policy).toEqual(restrictiveDefault());
  expect(found.notes.join("\n")).toContain("unsafe-disk-policy");
});

test("threat-03 a policy file that another user could change is not trusted", () => {
  const path = place("writable.yaml", VALID);
  chmodSync(path, 0o666);
  expect(discoverPolicy([path]).notes.join("\n")).toContain("can be changed by others than root");
  chmodSync(path, 0o644);
  chownSync(path, 1001, 1001);
  expect(discoverPolicy([path]).policy).toEqual(restrictiveDefault());
});

test("threat-03 nor one below a directory that another user could change", () => {
  const inner = join(directory, "open");
  mkdirSync(inner);
  writeFileSync(join(inner, "policy.yaml"), VALID);
  chmodSync(inner, 0o777);
  expect(discoverPolicy([join(inner, "policy.yaml")]).policy).toEqual(restrictiveDefault());
});

test("a policy that a person named must be readable and valid", () => {
  expect(() => readPolicyFile(join(directory, "absent.yaml"))).toThrow(/cannot read policy file/);
  expect(() => readPolicyFile(place("bad.yaml", "version: 1\nnope: 1\n"))).toThrow();
});
