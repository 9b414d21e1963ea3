import { OpenShellError } from "./error.ts";

/** Error codes of the file system and of SQLite by what they mean for whoever keeps state. */
const FULL = new Set(["ENOSPC", "EDQUOT", "SQLITE_FULL"]);
const READ_ONLY = new Set(["EROFS", "SQLITE_READONLY", "SQLITE_READONLY_DBMOVED", "SQLITE_READONLY_DIRECTORY", "SQLITE_CANTOPEN"]);
const BROKEN = /^(EIO|SQLITE_IOERR\w*|SQLITE_CORRUPT\w*|SQLITE_NOTADB)$/;

/**
 * A failure to keep state as a sentence of ours: the disk is full (`resource_exhausted`), read-only, or broken (`failed_precondition`).
 * Undefined for every other failure.
 */
export function storageError(reason: unknown): OpenShellError | undefined {
  if (!(reason instanceof Error) || reason instanceof OpenShellError) return undefined;
  const code = String((reason as NodeJS.ErrnoException).code ?? "");
  if (FULL.has(code)) {
    return new OpenShellError("resource_exhausted", `the disk that holds the gateway's state is full (${code}); nothing was changed`, {
      cause: reason,
      next: "free some space and try again; sandboxes that run go on enforcing meanwhile",
    });
  }
  if (READ_ONLY.has(code)) {
    return new OpenShellError("failed_precondition", `the gateway's state cannot be written (${code})`, {
      cause: reason,
      next: "make the state directory writable, or give gateway serve another --state-dir",
    });
  }
  if (!BROKEN.test(code)) return undefined;
  return new OpenShellError("failed_precondition", `the disk that holds the gateway's state fails (${code}): ${reason.message}`, {
    cause: reason,
    next: "look at the kernel's log and restore the state directory from a backup if need be",
  });
}
