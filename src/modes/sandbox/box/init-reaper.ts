import { readdirSync, readFileSync } from "node:fs";
import { reap } from "../../../linux/process-state.ts";

/** Besides SIGCHLD, which merges: an orphan waits at most this long. */
const SWEEP_INTERVAL_MS = 5000;

/**
 * Collects orphans that the kernel gave to pid 1. Children started by the runtime are its own to collect: waiting for any child would
 * take their exit codes away.
 */
export function startReaper(owned: ReadonlySet<number>): void {
  const sweep = () => {
    for (const pid of children()) if (!owned.has(pid)) reap(pid);
  };
  process.on("SIGCHLD", sweep);
  setInterval(sweep, SWEEP_INTERVAL_MS);
}

function children(): number[] {
  try {
    return readdirSync("/proc/self/task").flatMap((task) =>
      readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}
