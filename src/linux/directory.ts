import {
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  openResolved,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
} from "./descriptors.ts";
import { check, cString, EEXIST, syscall } from "./libc.ts";

/** Creates paths below an open root without ever following a symbolic link: the tree may belong to somebody hostile. */
const RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;

/** Opens (O_PATH) a directory below `root`, creating it and its parents with mode 0755 where they are missing. */
export function ensureDirectoryAt(root: number, path: string): number {
  let current = openResolved(root, "/", O_PATH | O_DIRECTORY, RESOLVE);
  for (const name of path.split("/").filter((part) => part !== "")) {
    try {
      const result = syscall("mkdirat", current, cString(name), 0o755);
      if (result !== -EEXIST) check(result, "mkdir", path);
      const next = openResolved(current, name, O_PATH | O_DIRECTORY, RESOLVE);
      close(current);
      current = next;
    } catch (reason) {
      close(current);
      throw reason;
    }
  }
  return current;
}

/** Opens a regular file below `root` for writing, creating it and its parents where they are missing. */
export function createFileAt(root: number, path: string): number {
  const O_CREAT = 0o100;
  return inParent(root, path, (parent, name) =>
    check(syscall("openat", parent, cString(name), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644), "create", path),
  );
}

/** Makes a symbolic link below `root`; one that exists already stays. */
export function linkAt(root: number, path: string, to: string): void {
  inParent(root, path, (parent, name) => {
    const result = syscall("symlinkat", cString(to), parent, cString(name));
    if (result !== -EEXIST) check(result, "symlink", path);
    return 0;
  });
}

function inParent(root: number, path: string, use: (parent: number, name: string) => number): number {
  const cut = path.lastIndexOf("/");
  const parent = ensureDirectoryAt(root, path.slice(0, cut));
  try {
    return use(parent, path.slice(cut + 1));
  } finally {
    close(parent);
  }
}
