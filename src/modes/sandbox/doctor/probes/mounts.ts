import { fstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../../../linux/descriptors.ts";
import { attach, cloneTree, MOUNT_ATTR_RDONLY, makeMountsPrivate, newFileSystem, setTreeAttributes } from "../../../../linux/mounts.ts";
import { unshare } from "../../../../linux/namespaces.ts";
import { mapOwners } from "../../../../linux/owner-mapping.ts";
import { ordinaryUser } from "../../rootless/identity.ts";
import { type Finding, probe } from "../finding.ts";

/** A directory that every system has; what is below it stays hidden from this process alone. */
const place = "/tmp";

/** In a mount namespace of this process alone, which it never leaves. */
export async function mountFindings(): Promise<Finding[]> {
  const mounts = await probe({
    feature: "mounts",
    meaning: "the agent's root is built from detached mounts, read-only before anyone sees them",
    otherwise: "missing",
    run() {
      unshare("mnt");
      makeMountsPrivate();
      mountOn(newFileSystem("tmpfs", {}, 0), place);
      const tree = openAt(AT_FDCWD, place, O_PATH | O_DIRECTORY);
      const copy = cloneTree(tree, place);
      close(tree);
      setTreeAttributes(copy, MOUNT_ATTR_RDONLY);
      mkdirSync(join(place, "copy"));
      mountOn(copy, join(place, "copy"));
      if (isWritable(join(place, "copy", "x")))
        return { state: "missing", found: "mount_setattr has no effect", remedy: "use another kernel" };
      return "tmpfs made, cloned and read-only by mount_setattr";
    },
  });
  if (mounts.state !== "ok") return [mounts];
  const overlay = await probe({
    feature: "overlay",
    meaning: "changes of an agent above a read-only file system; sandboxes of images take it",
    otherwise: "degraded",
    run() {
      const [lowerdir, upperdir, workdir, merged] = ["lower", "upper", "work", "merged"].map((name) => join(place, name)) as [
        string,
        string,
        string,
        string,
      ];
      for (const directory of [lowerdir, upperdir, workdir, merged]) mkdirSync(directory);
      mountOn(newFileSystem("overlay", { lowerdir, upperdir, workdir }, 0), merged);
      writeFileSync(join(merged, "x"), "");
      return "mounted on a tmpfs, and written to";
    },
  });
  return [mounts, overlay, await ownerMapping()];
}

/** On the root file system: that is where a person's directories are, unless the person knows better. */
function ownerMapping(): Promise<Finding> {
  return probe({
    feature: "idmapped-mounts",
    meaning: "files that an agent makes in a writable mount can belong to the person",
    otherwise: "degraded",
    async run() {
      if (ordinaryUser() !== undefined) return "not needed: agents run as you";
      const root = openAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
      const tree = cloneTree(root, "/");
      try {
        const { uid, gid } = fstatSync(root);
        await mapOwners(tree, { from: { uid, gid }, to: { uid: OTHER_OWNER, gid: OTHER_OWNER } });
        if (fstatSync(tree).uid === OTHER_OWNER) return "owners are mapped on the root file system";
        return { state: "degraded", found: "mapped owners have no effect", remedy: "use another file system" };
      } finally {
        close(tree);
        close(root);
      }
    },
  });
}

/** Any user that owns nothing. */
const OTHER_OWNER = 2_000_000_000;

function mountOn(mount: number, path: string): void {
  const target = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  try {
    attach(mount, target, path);
  } finally {
    close(target);
    close(mount);
  }
}

function isWritable(path: string): boolean {
  try {
    writeFileSync(path, "");
    return true;
  } catch {
    return false;
  }
}
