import { readdirSync, readFileSync } from "node:fs";
import { isAlive, startTime } from "../../../../linux/process-facts.ts";

/** A process by pid and start time, which together are never reused within a boot. */
export interface ProcessName {
  readonly pid: number;
  readonly startTime: number;
}

/** Supervisors end their box and flush their logs in this time; then they are killed (decision: delete). */
export const TERM_WAIT_MS = 5000;
/** How often the end of a process that is not our child is looked for. */
const POLL_MS = 50;

/** Ends a process: SIGTERM, up to 5 s, SIGKILL. Never signals another process that got the same pid. */
export async function endProcess(process_: ProcessName, termWaitMs = TERM_WAIT_MS): Promise<void> {
  signal(process_, "SIGTERM");
  if (await gone(process_, termWaitMs)) return;
  signal(process_, "SIGKILL");
  // A process that survives SIGKILL sits in the kernel; its files must not be removed under it for ever.
  await gone(process_, termWaitMs);
}

export function isRunning({ pid, startTime: start }: ProcessName): boolean {
  return isAlive(pid, start);
}

/** A process that supervises a sandbox, by its command line. */
export interface FoundSupervisor extends ProcessName {
  readonly sandboxId: string;
}

/**
 * Supervisors of ours by the spec file they were started with, found in /proc: also those whose record was never written. Anybody can
 * choose a command line, programs in sandboxes too, so only processes of this user count, and every one.
 */
export function findSupervisors(sandboxesDirectory: string): FoundSupervisor[] {
  const pattern = new RegExp(`\\0sandbox\\0run\\0--spec\\0${RegExp.escape(sandboxesDirectory)}/([^/\\0]+)/run/spec\\.json\\0`);
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    const sandboxId = pattern.exec(readText(`/proc/${entry}/cmdline`))?.[1];
    if (sandboxId === undefined || !isOurs(entry)) return [];
    const start = startTime(Number(entry));
    return start === undefined ? [] : [{ sandboxId, pid: Number(entry), startTime: start }];
  });
}

/** Real, effective and saved user id are ours; the owner of the directory in /proc may be root for a process that is not dumpable. */
function isOurs(pid: string): boolean {
  const ids = /^Uid:\t(\d+)\t(\d+)\t(\d+)/m.exec(readText(`/proc/${pid}/status`));
  return ids?.slice(1).every((id) => Number(id) === process.getuid?.()) ?? false;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function signal(name: ProcessName, kind: "SIGTERM" | "SIGKILL"): void {
  if (!isRunning(name)) return;
  try {
    process.kill(name.pid, kind);
  } catch {
    // It ended between the look and the signal.
  }
}

async function gone(name: ProcessName, withinMs: number): Promise<boolean> {
  for (let waited = 0; waited < withinMs; waited += POLL_MS) {
    if (!isRunning(name)) return true;
    await Bun.sleep(POLL_MS);
  }
  return !isRunning(name);
}
