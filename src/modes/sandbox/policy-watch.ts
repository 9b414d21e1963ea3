import { type Stats, unwatchFile, watchFile } from "node:fs";
import { OpenShellError } from "../../error.ts";
import type { Policy } from "../../policy/model.ts";
import { staticChanges } from "../../policy/static.ts";

/** A file is looked at this often; editors replace files, which an inode watch would miss. Milliseconds. */
const WATCH_INTERVAL = 500;

export interface PolicyFile {
  readonly path: string;
  /** Reads and checks it; throws with the reason when it may not be used. */
  read(): Policy;
}

/**
 * Puts a policy file in force again when it changes or on SIGHUP: its network section, the rest was fixed at the start. A bad file keeps
 * the policy in force, and `say` gets the reason.
 */
export function watchPolicyFile(
  file: PolicyFile,
  started: Policy,
  enforce: (policy: Policy, description: string) => void,
  say: (message: string) => void,
): Disposable {
  let version = 1;
  const reload = () => {
    try {
      const policy = file.read();
      enforce(policy, `policy reloaded from ${file.path} (version ${version + 1})`);
      version += 1;
      const waiting = staticChanges(started, policy).map(({ field }) => field);
      if (waiting.length > 0) say(`${[...new Set(waiting)].join(", ")} changed in ${file.path}: takes effect at the next start`);
    } catch (error) {
      const { message, violations } = OpenShellError.from(error);
      const details = violations.map(({ field, line, message: text }) => `${field}${line === undefined ? "" : ` (line ${line})`}: ${text}`);
      say(`policy reload failed, the last good policy stays in force: ${[message, ...details].join("; ")}`);
    }
  };
  const onChange = (now: Stats, before: Stats) => {
    // An editor removes a file for a moment before the new one is there; nothing is to be read then.
    if (now.nlink > 0 && (now.mtimeMs !== before.mtimeMs || now.ctimeMs !== before.ctimeMs || now.ino !== before.ino)) reload();
  };
  watchFile(file.path, { interval: WATCH_INTERVAL, persistent: false }, onChange);
  process.on("SIGHUP", reload);
  return {
    [Symbol.dispose]() {
      unwatchFile(file.path, onChange);
      process.off("SIGHUP", reload);
    },
  };
}
