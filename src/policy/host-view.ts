import { posix } from "node:path";
import type { Policy } from "./model.ts";

/** Programs and libraries of the host, which every sandbox sees without anyone's permission (decision 8). */
export const HOST_PROGRAMS: readonly string[] = ["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Paths that in a policy always mean the view's own, whatever the host has there. `/app` is in the restrictive default, made empty. */
export const OWN_OF_VIEW: readonly string[] = ["/etc", "/tmp", "/dev", "/proc", "/var/log", "/run", "/sandbox", "/app"];

/** Whether a path is one of the bases or below one. */
export function isUnderAny(path: string, bases: readonly string[]): boolean {
  return bases.some((base) => path === base || base === "/" || path.startsWith(`${base}/`));
}

/** The paths of a policy that a gateway takes only with its operator's `--allow-mount`, by their names alone, each with its field. */
export function pathsBeyondView({ filesystem }: Policy): { readonly field: string; readonly path: string }[] {
  const lists = { read_only: filesystem?.readOnly ?? [], read_write: filesystem?.readWrite ?? [] };
  return Object.entries(lists).flatMap(([list, paths]) =>
    paths.flatMap((path, index) =>
      isUnderAny(posix.normalize(path), [...OWN_OF_VIEW, ...HOST_PROGRAMS]) ? [] : [{ field: `filesystem_policy.${list}[${index}]`, path }],
    ),
  );
}
