import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../error.ts";

/**
 * Moves a process, with all its threads and what it will start, into groups of the kernel (one directory for each hierarchy). Throws an
 * OpenShellError when one of them does not take it: then the process may be in some of them and must not run.
 */
export function moveToGroups(pid: number, groups: readonly string[]): void {
  for (const group of groups) {
    try {
      // Never made: a plain file would limit nothing.
      writeFileSync(join(group, "cgroup.procs"), String(pid), { flag: "r+" });
    } catch (cause) {
      throw new OpenShellError("failed_precondition", `the limits of this sandbox cannot be applied: ${group} does not take its programs`, {
        cause,
        next: "stop the sandbox and start it again",
      });
    }
  }
}
