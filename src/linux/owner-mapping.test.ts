import { expect, test } from "bun:test";
import { fstatSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCapability } from "./capabilities.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "./descriptors.ts";
import { cloneTree } from "./mounts.ts";
import { mapOwners } from "./owner-mapping.ts";

test.skipIf(!hasCapability("sys_admin"))("files of one user appear as another's, and the file system is not touched", async () => {
  const path = mkdtempSync(join(tmpdir(), "openshell-owners-"));
  const place = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  const tree = cloneTree(place, path);
  try {
    const { uid, gid } = fstatSync(place);
    await mapOwners(tree, { from: { uid, gid }, to: { uid: 2_000_000_000, gid: 2_000_000_000 } });
    expect(fstatSync(tree)).toMatchObject({ uid: 2_000_000_000, gid: 2_000_000_000 });
    expect(fstatSync(place).uid).toBe(process.getuid?.() ?? 0);
  } finally {
    close(tree);
    close(place);
    rmdirSync(path);
  }
});
