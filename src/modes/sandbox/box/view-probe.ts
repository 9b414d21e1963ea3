import { lstatSync, readlinkSync, realpathSync } from "node:fs";

/** What a path means on this host. */
export interface HostPath {
  readonly kind: "missing" | "directory" | "file" | "other";
  /** After all symbolic links. */
  readonly real: string;
  /** Text of the link, when the last component is one and nothing before it is. */
  readonly link?: string;
}

/** Looks at a path without changing anything. A path that cannot be looked at counts as missing. */
export function inspect(path: string): HostPath {
  try {
    const real = realpathSync(path);
    const facts = lstatSync(real);
    const kind = facts.isDirectory() ? "directory" : facts.isFile() || facts.isCharacterDevice() ? "file" : "other";
    const parent = path.slice(0, path.lastIndexOf("/")) || "/";
    const link = lstatSync(path).isSymbolicLink() && realpathSync(parent) === parent ? readlinkSync(path) : undefined;
    return { kind, real, ...(link === undefined ? {} : { link }) };
  } catch {
    return { kind: "missing", real: path };
  }
}

/** True when `path` is strictly below `directory`; both absolute and normalised. */
export function isBelow(path: string, directory: string): boolean {
  return directory === "/" ? path !== "/" : path.startsWith(`${directory}/`);
}
