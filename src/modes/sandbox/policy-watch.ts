import { statSync, unwatchFile, watchFile } from "node:fs";
import { OpenShellError } from "../../error.ts";
import type { Policy } from "../../policy/model.ts";
import { readPolicyFile } from "./policy-source.ts";

/** A file is looked at this often; editors replace files, which an inode watch would miss. Milliseconds. */
const WATCH_INTERVAL = 500;

/** Reloads a policy file when it changes or on SIGHUP. A bad file keeps the policy in force, and `say` gets the reason. */
export function watchPolicyFile(
  path: string,
  enforce: (policy: Policy, description: string) => void,
  say: (message: string) => void,
): Disposable {
  let version = 1;
  const reload = () => {
    try {
      enforce(readPolicyFile(path), `policy reloaded from ${path} (version ${version + 1})`);
      version += 1;
    } catch (error) {
      const { message, violations } = OpenShellError.from(error);
      const details = violations.map(({ field, line, message: text }) => `${field}${line === undefined ? "" : ` (line ${line})`}: ${text}`);
      say(`policy reload failed, the last good policy stays in force: ${[message, ...details].join("; ")}`);
    }
  };
  const onChange = (now: { mtimeMs: number }, before: { mtimeMs: number }) => {
    if (now.mtimeMs !== before.mtimeMs && statSync(path, { throwIfNoEntry: false })) reload();
  };
  watchFile(path, { interval: WATCH_INTERVAL, persistent: false }, onChange);
  process.on("SIGHUP", reload);
  return {
    [Symbol.dispose]() {
      unwatchFile(path, onChange);
      process.off("SIGHUP", reload);
    },
  };
}

/** Paths that, named in a policy, mean the box's own and not the host's. */
const OWN_PLACES = ["/etc", "/tmp", "/dev", "/proc", "/var/log", "/run"];

/** A policy file that the box can write is never reloaded from there: the agent would write its own policy. */
export function isInsideWritablePath(path: string, policyPaths: readonly string[], mounted: readonly string[]): boolean {
  const hostPaths = policyPaths.filter((writable) => !OWN_PLACES.some((own) => isBelow(writable, own)));
  return [...hostPaths, ...mounted].some((writable) => isBelow(path, writable));
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}
