import { realpathSync } from "node:fs";
import { posix } from "node:path";
import { HOST_PROGRAMS, isUnderAny, OWN_OF_VIEW } from "../../../policy/host-view.ts";
import type { Policy } from "../../../policy/model.ts";
import type { SandboxMount } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { invalid } from "./limits.ts";

/** Refuses a mount, or a policy path beyond the default view, that the operator has not allowed with `--allow-mount`. */
export function checkHostPaths(allowed: readonly string[], mounts: readonly SandboxMount[], policy: Policy | undefined): void {
  const prefixes = allowed.map(canonical);
  for (const [index, mount] of mounts.entries()) {
    if (!posix.isAbsolute(mount.source)) throw invalid(`mounts[${index}].source`, "must be an absolute path");
    if (mount.target !== "" && !posix.isAbsolute(mount.target)) throw invalid(`mounts[${index}].target`, "must be an absolute path");
    requireAllowed(`mounts[${index}].source`, mount.source, prefixes);
  }
  const filesystem = policy?.filesystem;
  for (const [index, path] of (filesystem?.readOnly ?? []).entries()) requireVisible(`filesystem.read_only[${index}]`, path, prefixes);
  for (const [index, path] of (filesystem?.readWrite ?? []).entries()) requireVisible(`filesystem.read_write[${index}]`, path, prefixes);
}

/**
 * Mounts by the paths where they really lead now. What is read-only may be named by a link, and that is settled when the mount is permitted:
 * whoever changes the link afterwards, another sandbox for one, changes nothing.
 */
export function settledMounts(mounts: readonly SandboxMount[]): SandboxMount[] {
  return mounts.map((mount) =>
    mount.readWrite ? mount : { ...mount, source: canonical(mount.source), target: mount.target === "" ? mount.source : mount.target },
  );
}

function requireVisible(field: string, path: string, prefixes: readonly string[]): void {
  const lexical = posix.normalize(path);
  if (isUnderAny(lexical, OWN_OF_VIEW)) return;
  // A link among the host's programs must not lead out of them.
  if (isUnderAny(lexical, HOST_PROGRAMS) && isUnderAny(canonical(path), [...HOST_PROGRAMS, ...OWN_OF_VIEW])) return;
  requireAllowed(field, path, prefixes);
}

function requireAllowed(field: string, path: string, prefixes: readonly string[]): void {
  if (isUnderAny(canonical(path), prefixes)) return;
  throw invalid(
    field,
    `${path} of the host is not open to sandboxes; the operator can allow it with 'openshell gateway serve --allow-mount ${path}'`,
  );
}

/** Where a path really leads, so that a symlink under an allowed prefix opens nothing else. */
function canonical(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return posix.normalize(path);
  }
}
