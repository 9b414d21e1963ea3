import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";

/**
 * Where an ordinary user's `sandbox run` keeps its workspace and mount point: below $XDG_RUNTIME_DIR, else below the directory for
 * temporary files. Created here when it is missing; never one that others can look into or that belongs to somebody else.
 */
export function userRuntimeDirectory(uid: number, environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const runtime = environment["XDG_RUNTIME_DIR"];
  const path = runtime !== undefined && isPrivate(runtime, uid) ? join(runtime, "openshell") : join(tmpdir(), `openshell-${uid}`);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") {
      throw new OpenShellError("failed_precondition", `cannot create ${path}`, {
        cause,
        next: "set XDG_RUNTIME_DIR to a directory of your own with mode 0700",
      });
    }
  }
  if (isPrivate(path, uid)) return path;
  throw new OpenShellError("failed_precondition", `${path} is not a private directory of uid ${uid}`, {
    next: "remove it, or set XDG_RUNTIME_DIR to a directory of your own with mode 0700",
  });
}

function isPrivate(path: string, uid: number): boolean {
  try {
    const facts = lstatSync(path);
    return facts.isDirectory() && facts.uid === uid && (facts.mode & 0o077) === 0;
  } catch {
    return false;
  }
}
