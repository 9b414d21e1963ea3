import { existsSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { guardTools } from "./box/tool-guards.ts";
import { isOwnPath } from "./box/view-layout.ts";
import type { WritablePlaces } from "./writable-paths.ts";

/**
 * What cannot be made read-only, because it is not there, is looked for again at the end (threat 15). Returns a function that gives the
 * paths of the host, among those that tools of the person read by themselves, which did not exist at the time of this call and exist now.
 */
export function rememberToolConfiguration({ policyPaths, mounted }: WritablePlaces): () => string[] {
  const directories = [...new Set([...policyPaths.filter((path) => !isOwnPath(path)), ...mounted])].filter((path) => existsSync(path));
  const absent = directories.flatMap((directory) =>
    guardTools(directory, "/")
      .open.map((name) => join(directory, name))
      .filter((path) => !exists(path)),
  );
  return () => absent.filter(exists);
}

/** A link that leads nowhere is there as well. */
function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** What a person is told of such a path. */
export function madeConfigurationNote(path: string): string {
  return `${path} is new: tools of yours run or obey what is there, so look at it first`;
}
