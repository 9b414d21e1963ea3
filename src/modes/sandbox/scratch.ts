import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";
import { tryLock } from "../../linux/file-lock.ts";
import { removeTree } from "../../linux/remove-tree.ts";
import { ordinaryUser } from "./rootless/identity.ts";
import { userRuntimeDirectory } from "./rootless/runtime-directory.ts";

/** Where root's `sandbox run` keeps what a box needs while it runs. */
const BASE = "/run/openshell";
const PREFIX = "run-";

/** A private workspace and run directory, removed at the end: as a program leaves it, that may be millions of files, or very deep. */
export interface Scratch extends AsyncDisposable {
  readonly workspace: string;
  readonly run: string;
}

/** Makes them for the agent's ids; those of supervisors that were killed are removed meanwhile. */
export function openScratch({ uid, gid }: { readonly uid: number; readonly gid: number }, base = defaultBase()): Scratch {
  mkdirSync(base, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(base)) if (name.startsWith(PREFIX)) void removeAbandoned(join(base, name));
  // Under another name until it is locked, so that nobody takes it for abandoned. The descriptor holds the lock until we end, however that comes.
  const unnamed = mkdtempSync(join(base, "new-"));
  const lock = openSync(unnamed, "r");
  tryLock(lock);
  const own = join(base, `${PREFIX}${basename(unnamed)}`);
  renameSync(unnamed, own);
  const workspace = join(own, "workspace");
  const run = join(own, "run");
  mkdirSync(workspace, { mode: 0o700 });
  mkdirSync(run, { mode: 0o700 });
  chownSync(workspace, uid, gid);
  return {
    workspace,
    run,
    async [Symbol.asyncDispose]() {
      await removeTree(own);
      closeSync(lock);
    },
  };
}

function defaultBase(): string {
  const user = ordinaryUser();
  return user === undefined ? BASE : userRuntimeDirectory(user.uid);
}

/** Best effort: what is left of it is for the next start. */
async function removeAbandoned(path: string): Promise<void> {
  let lock: number;
  try {
    lock = openSync(path, "r");
  } catch {
    return; // removed meanwhile
  }
  try {
    if (tryLock(lock)) await removeTree(path);
  } catch {
    // A file that cannot be removed keeps nobody from starting.
  } finally {
    closeSync(lock);
  }
}
