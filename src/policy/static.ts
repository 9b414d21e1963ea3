import type { Violation } from "../error.ts";
import type { Policy } from "./model.ts";

/**
 * What a change would alter that was fixed when the sandbox started. Paths may be added (they take effect at the next start); all else of
 * filesystem, landlock and process stays. Sections that are absent count as their defaults, so that leaving one out is no change.
 */
export function staticChanges(old: Policy, next: Policy): Violation[] {
  const violations: Violation[] = [];
  const report = (field: string, message: string) => violations.push({ field, message });
  if (compatibility(old) !== compatibility(next)) {
    report("landlock", "landlock policy cannot be changed on a live sandbox (applied at startup)");
  }
  if (identity(old) !== identity(next)) report("process", "process policy cannot be changed on a live sandbox (applied at startup)");
  const [before, after] = [filesystem(old), filesystem(next)];
  if (before.includeWorkdir !== after.includeWorkdir) {
    report("filesystem_policy.include_workdir", "filesystem include_workdir cannot be changed on a live sandbox (applied at startup)");
  }
  for (const path of before.readOnly) {
    if (!after.readOnly.includes(path)) {
      report("filesystem_policy.read_only", `filesystem read_only path '${path}' cannot be removed on a live sandbox`);
    }
  }
  for (const path of before.readWrite) {
    if (!after.readWrite.includes(path)) {
      report("filesystem_policy.read_write", `filesystem read_write path '${path}' cannot be removed on a live sandbox`);
    }
  }
  return violations;
}

const compatibility = ({ landlock }: Policy) => landlock?.compatibility ?? "hard_requirement";

const identity = ({ process }: Policy) => `${process?.runAsUser || "sandbox"}:${process?.runAsGroup || "sandbox"}`;

/** Without the section the workspace is included and nothing else. */
const filesystem = (policy: Policy) => policy.filesystem ?? { includeWorkdir: true, readOnly: [], readWrite: [] };
