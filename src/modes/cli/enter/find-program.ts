import { accessSync, constants, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";

/**
 * Where a program of the person's machine is. Only absolute directories of PATH count: a relative one would run what lies in the current
 * directory, which a sandbox may have written.
 */
export function findProgram(name: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  for (const directory of (env["PATH"] ?? "").split(":")) {
    if (!isAbsolute(directory)) continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this one.
    }
  }
  return undefined;
}
