import { randomBytes } from "node:crypto";
import { closeSync, fchownSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";

/**
 * Replaces a file in one step, so that a reader, or a start after a crash, sees the old content or the new, never half of either.
 * The temporary file is new (O_EXCL) and has its mode before its content. `lastsBoot`: what nobody reads once the machine was off need not
 * reach the disk.
 */
export function writeFileAtomically(
  path: string,
  content: string,
  mode: number,
  { owner, lastsBoot = false }: { readonly owner?: { readonly uid: number; readonly gid: number }; readonly lastsBoot?: boolean } = {},
): void {
  const scratch = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const fd = openSync(scratch, "wx", mode);
  try {
    writeSync(fd, content);
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    if (!lastsBoot) fsyncSync(fd);
    closeSync(fd);
    renameSync(scratch, path);
  } catch (error) {
    rmSync(scratch, { force: true });
    throw error;
  }
}
