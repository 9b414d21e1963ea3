import { isAbsolute } from "node:path";
import { OpenShellError } from "../../../error.ts";

/** Each mount has some ten places that tools read by themselves; more paths are not kept. */
const MAX_PATHS = 256;
/** PATH_MAX of Linux, in characters. */
const MAX_PATH_CHARACTERS = 4096;

/** Sandboxes that went by themselves and that nobody has asked for yet; the oldest go. */
const MAX_GONE = 64;

/** What programs made in sandboxes that were not kept: whoever follows one may come to delete it a moment after it went. */
export class MadeByGone {
  readonly #paths = new Map<string, readonly string[]>();

  /** `sandbox`: workspace and name. */
  keep(sandbox: string, paths: readonly string[]): void {
    this.#paths.delete(sandbox);
    if (paths.length === 0) return;
    const [oldest] = this.#paths.keys();
    if (this.#paths.size >= MAX_GONE && oldest !== undefined) this.#paths.delete(oldest);
    this.#paths.set(sandbox, paths);
  }

  /** Once. */
  take(sandbox: string): readonly string[] {
    const paths = this.#paths.get(sandbox) ?? [];
    this.#paths.delete(sandbox);
    return paths;
  }
}

/** The paths that are known with those that are new, sorted, each once; throws `invalid_argument` for what is no absolute path. */
export function withPaths(known: readonly string[], added: readonly string[]): string[] {
  for (const path of added) {
    if (!isAbsolute(path) || path.length > MAX_PATH_CHARACTERS)
      throw new OpenShellError("invalid_argument", `made_configuration holds absolute paths of at most ${MAX_PATH_CHARACTERS} characters`);
  }
  const first = [...new Set([...known, ...added])].slice(0, MAX_PATHS);
  return first.sort();
}
