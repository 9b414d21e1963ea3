import { readFileSync } from "node:fs";

/** Clock ticks since boot at which a process started (field 22 of /proc/PID/stat); undefined when there is none. */
export function startTime(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : Number(fields[STAT_START_TIME]);
}

/** The parent's pid; undefined when the process is gone. */
export function parentOf(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : Number(fields[STAT_PARENT]);
}

/**
 * True when the process that had this pid and start time still runs (a zombie does not). Throws when that cannot be told, as without a free
 * descriptor: a process that is taken for ended is neither watched nor killed any more.
 */
export function isAlive(pid: number, start: number): boolean {
  const fields = readStat(pid);
  return fields !== undefined && Number(fields[STAT_START_TIME]) === start && fields[STAT_STATE] !== "Z" && fields[STAT_STATE] !== "X";
}

/** Identity of this boot; pids and start times mean nothing across it. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** Process and parent of a thread, from /proc/TID/status; undefined when it is gone. */
export function relationFromStatus(tid: number): { readonly process: number; readonly parent: number } | undefined {
  try {
    const status = readFileSync(`/proc/${tid}/status`, "latin1");
    const [process, parent] = [/^Tgid:\s+(\d+)$/m, /^PPid:\s+(\d+)$/m].map((field) => field.exec(status)?.[1]);
    return process === undefined || parent === undefined ? undefined : { process: Number(process), parent: Number(parent) };
  } catch {
    return undefined;
  }
}

// Positions after the command name, which is cut away because it may contain blanks and parentheses (proc(5): field 3 comes first).
const STAT_STATE = 0;
const STAT_PARENT = 1;
const STAT_START_TIME = 19;

function statFields(pid: number): string[] | undefined {
  try {
    return readStat(pid);
  } catch {
    return undefined;
  }
}

/** Undefined when there is no such process; any other failure is thrown. */
function readStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}
