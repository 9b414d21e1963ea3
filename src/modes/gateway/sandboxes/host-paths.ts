import { realpathSync } from "node:fs";
import { posix } from "node:path";
import type { Policy } from "../../../policy/model.ts";
import type { SandboxMount } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { invalid } from "./limits.ts";

/**
 * What a sandbox sees of a host without anyone's permission: programs and libraries, and paths that always mean the view's own
 * (decision 8). `/app` is in the restrictive default and is created empty.
 */
const DEFAULT_VIEW = [
  "/usr",
  "/opt",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/tmp",
  "/dev",
  "/proc",
  "/var/log",
  "/run",
  "/sandbox",
  "/app",
];

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

function requireVisible(field: string, path: string, prefixes: readonly string[]): void {
  if (!DEFAULT_VIEW.some((base) => isUnder(posix.normalize(path), base))) requireAllowed(field, path, prefixes);
}

function requireAllowed(field: string, path: string, prefixes: readonly string[]): void {
  if (prefixes.some((prefix) => isUnder(canonical(path), prefix))) return;
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

function isUnder(path: string, base: string): boolean {
  return path === base || base === "/" || path.startsWith(`${base}/`);
}
