import { createHash } from "node:crypto";
import { readdirSync, realpathSync, rmdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Hierarchies, machineHierarchies } from "./hierarchies.ts";

/** Enough that two directories of one machine never have the same. Hexadecimal digits. */
const OWNER_DIGITS = 16;

/**
 * What the groups of a gateway's sandboxes begin with: other gateways of this machine, those in containers that share its groups included, have
 * other directories. A copy of a directory is another one.
 */
export function groupOwner(directory: string): string {
  const { dev, ino } = statSync(directory, { bigint: true });
  return createHash("sha256")
    .update(`${realpathSync(directory)} ${dev} ${ino}`)
    .digest("hex")
    .slice(0, OWNER_DIGITS);
}

/** Name of a sandbox's group. */
export function groupName(owner: string, sandboxId: string): string {
  return `${owner}.${sandboxId}`;
}

/**
 * Removes the groups of this owner's sandboxes that are not known any more, where they are empty; what has processes stays, and so does every
 * group of others. Returns the ids.
 */
export function removeLeftGroups(
  owner: string,
  isKnown: (sandboxId: string) => boolean,
  { all }: Pick<Hierarchies, "all"> = machineHierarchies(),
): string[] {
  const prefix = groupName(owner, "");
  const removed = new Set<string>();
  for (const { parent } of all) {
    if (parent === undefined) continue;
    for (const name of directoriesIn(parent)) {
      const id = name.slice(prefix.length);
      if (!name.startsWith(prefix) || isKnown(id)) continue;
      const group = join(parent, name);
      for (const inner of directoriesIn(group)) remove(join(group, inner));
      if (remove(group)) removed.add(id);
    }
  }
  return [...removed];
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return [];
  }
}

/** The kernel refuses it for a group that has processes. */
function remove(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
}
