import { chownSync, closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { tryLock } from "../../linux/file-lock.ts";
import { ordinaryUser } from "./rootless/identity.ts";
import { userRuntimeDirectory } from "./rootless/runtime-directory.ts";

/** Where root's `sandbox run` keeps what a box needs while it runs. */
const BASE = "/run/openshell";
const PREFIX = "run-";

/** A private workspace and run directory, removed at the end. */
export interface Scratch extends Disposable {
  readonly workspace: string;
  readonly run: string;
}

/** Makes them for the agent's ids, and removes those of supervisors that were killed. */
export function openScratch({ uid, gid }: { readonly uid: number; readonly gid: number }, base = defaultBase()): Scratch {
  mkdirSync(base, { recursive: true, mode: 0o755 });
  removeAbandoned(base);
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
    [Symbol.dispose]() {
      rmSync(own, { recursive: true, force: true });
      closeSync(lock);
    },
  };
}

function defaultBase(): string {
  const user = ordinaryUser();
  return user === undefined ? BASE : userRuntimeDirectory(user.uid);
}

function removeAbandoned(base: string): void {
  for (const name of readdirSync(base)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(base, name);
    let lock: number;
    try {
      lock = openSync(path, "r");
    } catch {
      continue; // removed meanwhile
    }
    if (tryLock(lock)) rmSync(path, { recursive: true, force: true });
    closeSync(lock);
  }
}
