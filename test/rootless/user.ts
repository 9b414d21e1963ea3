/** The ordinary user as whom the tests of this folder start the compiled binary, and why they cannot. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { missingForAttacks } from "../attacks/arena.ts";
import { BINARY } from "../e2e/installation.ts";

export const USER = 1001;
/** Another ordinary user of the host. */
export const OTHER = 1002;

export const SETPRIV = "/usr/bin/setpriv";
export const UNSHARE = "/usr/bin/unshare";

/** In front of a command. `groups` beside the primary one: none by default. */
export function as(uid: number, groups: readonly number[] = []): string[] {
  return [SETPRIV, `--reuid=${uid}`, `--regid=${uid}`, ...(groups.length === 0 ? ["--clear-groups"] : [`--groups=${groups.join(",")}`])];
}

/** What the machine lacks; undefined when nothing. */
export function missingForRootless(): string | undefined {
  const missing = missingForAttacks();
  if (missing !== undefined) return missing;
  for (const tool of [SETPRIV, UNSHARE]) if (!existsSync(tool)) return `${tool} is needed`;
  const [program = "", ...words] = [...as(USER), BINARY, "--version"];
  if (spawnSync(program, words, { cwd: "/" }).status !== 0) return `uid ${USER} cannot run ${BINARY}`;
  const [tool = "", ...rest] = [...as(USER), UNSHARE, "--user", "--net", "true"];
  if (spawnSync(tool, rest, { cwd: "/" }).status !== 0) return "this kernel lets an ordinary user make no user namespace";
  return undefined;
}
