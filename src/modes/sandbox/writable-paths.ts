import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Paths that, named in a policy, mean the box's own and not the host's. */
const OWN_PLACES = ["/etc", "/tmp", "/dev", "/proc", "/var/log", "/run"];

/** Directories of the host that the program in the box may change: by its policy, and by mounts. */
export interface WritablePlaces {
  readonly policyPaths: readonly string[];
  readonly mounted: readonly string[];
}

/**
 * True when the program in the box could change what is at `path`, links resolved on both sides. The supervisor, which is root, neither
 * follows a policy there nor writes logs there: the program would write its own policy, or choose which file root appends to.
 */
export function isInsideWritablePath(path: string, { policyPaths, mounted }: WritablePlaces): boolean {
  const hostPaths = policyPaths.filter((writable) => !OWN_PLACES.some((own) => isBelow(writable, own)));
  const places = [path, real(path)];
  return [...hostPaths, ...mounted].some((writable) => {
    const resolved = real(writable);
    return places.some((place) => isBelow(place, writable) || isBelow(place, resolved));
  });
}

/** As far as it exists: the rest cannot be a link. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(real(parent), basename(path));
  }
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}
