import { afterAll, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { collect, defaultFilesystem, launchOf, testSpec } from "./box-fixture.ts";
import type { BoxSpec } from "./contract.ts";
import { EarlyBox } from "./early-box.ts";
import { Ground } from "./ground.ts";

const specs: BoxSpec[] = [];
const made = (overrides: Partial<BoxSpec> = {}): BoxSpec => {
  const spec = testSpec(overrides);
  specs.push(spec);
  return spec;
};
afterAll(() => {
  for (const { runDirectory } of specs) rmSync(join(runDirectory, ".."), { recursive: true, force: true });
});

const sees = async (early: EarlyBox, spec: BoxSpec, path: string): Promise<number> => {
  await using box = await early.take(spec);
  return (await collect(await box.launch(launchOf(["/usr/bin/test", "-e", path])))).code;
};

test("a box that was opened early is the one that is asked for", async () => {
  const spec = made();
  await using early = new EarlyBox(spec, new Ground());
  expect(await sees(early, structuredClone(spec), "/usr/bin/env")).toBe(0);
});

test("what was opened for another policy is not what programs get", async () => {
  const spec = made();
  await using early = new EarlyBox(spec, new Ground());
  // Without /usr/share.
  const readOnly = ["/usr/bin", "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/bin"].filter((path) => existsSync(path));
  const filesystem = { ...defaultFilesystem, readOnly };
  expect(await sees(early, { ...spec, filesystem }, "/usr/share")).toBe(1);
});

test("what could not be opened for another policy is no matter; for the same it is the error", async () => {
  const spec = made();
  const impossible: BoxSpec = {
    ...spec,
    landlock: "hard_requirement",
    filesystem: { ...defaultFilesystem, readOnly: ["/usr", "/no/such/path"] },
  };
  await using early = new EarlyBox(impossible, new Ground());
  expect(await sees(early, spec, "/usr/bin/env")).toBe(0);
  await using same = new EarlyBox(impossible, new Ground());
  await expect(same.take(impossible)).rejects.toThrow("/no/such/path");
});
