import { isAbsolute } from "node:path";
import { OpenShellError } from "../../../error.ts";

/** Each mount has some ten places that tools read by themselves; more paths are not kept. */
const MAX_PATHS = 256;
/** PATH_MAX of Linux, in characters. */
const MAX_PATH_CHARACTERS = 4096;

/** The paths that are known with those that are new, sorted, each once; throws `invalid_argument` for what is no absolute path. */
export function withPaths(known: readonly string[], added: readonly string[]): string[] {
  for (const path of added) {
    if (!isAbsolute(path) || path.length > MAX_PATH_CHARACTERS)
      throw new OpenShellError("invalid_argument", `made_configuration holds absolute paths of at most ${MAX_PATH_CHARACTERS} characters`);
  }
  const first = [...new Set([...known, ...added])].slice(0, MAX_PATHS);
  return first.sort();
}
