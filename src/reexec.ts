import { existsSync } from "node:fs";

/** True in the compiled binary, where the sources live in an embedded file system. */
export const isCompiled = import.meta.path.startsWith("/$bunfs/");

/**
 * The image that this process runs, whatever has taken its path meanwhile: who may write the directory of the binary, an agent in a
 * writable mount for one, must not choose what we run next. The kernel keeps the file itself from being written while it runs.
 */
const OWN_IMAGE = "/proc/self/exe";

/** The command that starts this program again: the binary itself, or Bun with our entry point during development. */
export function selfCommand(): string[] {
  if (isCompiled) return [OWN_IMAGE];
  const entry = new URL("./main.ts", import.meta.url).pathname;
  if (!existsSync(entry)) throw new Error(`entry point ${entry} is missing`);
  return [process.execPath, entry];
}

/**
 * The environment of every process of ours: nothing is inherited, because `BUN_*`, `NODE_*`, `SSL_CERT_*` and proxy variables would steer
 * the runtime. `BUN_BE_BUN` is set empty so that an environment composed by an outsider cannot turn the binary into a plain Bun.
 */
export function ownEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8", BUN_BE_BUN: "", ...extra };
}
