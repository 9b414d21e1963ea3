import type { Violation } from "../error.ts";
import { MAX_FILESYSTEM_PATHS, MAX_PATH_BYTES } from "./limits.ts";
import type { FilesystemPolicy } from "./model.ts";

/** Characters of a path that a message shows. */
const SHOWN = 77;

/** Number, length and shape of the paths. `/` may be read, never written as a whole. */
export function* validateFilesystem({ readOnly, readWrite }: FilesystemPolicy): Generator<Violation> {
  const total = readOnly.length + readWrite.length;
  if (total > MAX_FILESYSTEM_PATHS) {
    yield { field: "filesystem_policy", message: `has ${total} paths, at most ${MAX_FILESYSTEM_PATHS} are accepted` };
  }
  for (const [i, path] of readOnly.entries()) yield* validatePath(path, `filesystem_policy.read_only[${i}]`);
  for (const [i, path] of readWrite.entries()) {
    yield* validatePath(path, `filesystem_policy.read_write[${i}]`);
    if (/^\/[/.]*$/.test(path) && !path.includes("..")) {
      yield { field: `filesystem_policy.read_write[${i}]`, message: `'${path}' is overly broad: name the directories that need writing` };
    }
  }
}

/** Absolute, without `..`, at most PATH_MAX, no NUL. */
export function* validatePath(path: string, field: string): Generator<Violation> {
  const bytes = new TextEncoder().encode(path).length;
  const shown = path.length > SHOWN ? `${path.slice(0, SHOWN)}...` : path;
  if (bytes > MAX_PATH_BYTES) {
    yield { field, message: `'${shown}' is ${bytes} bytes, at most ${MAX_PATH_BYTES} are accepted` };
    return;
  }
  if (!path.startsWith("/"))
    yield { field, message: path === "" ? "is missing or empty: expected an absolute path" : `'${shown}' is not an absolute path` };
  if (path.split("/").includes("..")) yield { field, message: `'${shown}' contains a traversal ('..')` };
  if (/\p{Cc}/u.test(path) || !path.isWellFormed()) yield { field, message: "has control characters" };
}
