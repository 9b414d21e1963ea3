import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configDirectory } from "../../../paths.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A forward that runs in the background. */
export interface ForwardRecord {
  readonly pid: number;
  /** Clock ticks since boot: with the pid, one process and no other that later has its number. */
  readonly startTime: string;
  readonly sandbox: string;
  readonly workspace: string;
  readonly gateway: string;
  readonly bind: string;
  readonly local: number;
  readonly remote: number;
}

function directory(env: Environment): string {
  return join(configDirectory(env as NodeJS.ProcessEnv), "forwards");
}

function file(env: Environment, record: Pick<ForwardRecord, "pid">): string {
  return join(directory(env), `${record.pid}.json`);
}

/** Writes down that this process forwards; the returned function takes it away. */
export function registerForward(env: Environment, forward: Omit<ForwardRecord, "pid" | "startTime">): () => void {
  const record: ForwardRecord = { pid: process.pid, startTime: startTimeOf(process.pid) ?? "", ...forward };
  mkdirSync(directory(env), { recursive: true, mode: 0o700 });
  writeFileSync(file(env, record), JSON.stringify(record), { mode: 0o600 });
  return () => rmSync(file(env, record), { force: true });
}

/** The forwards that run; files of those that have ended are removed. */
export function listForwards(env: Environment): ForwardRecord[] {
  let names: string[];
  try {
    names = readdirSync(directory(env));
  } catch {
    return [];
  }
  const found = names.filter((name) => /^\d+\.json$/.test(name)).flatMap((name) => readRecord(join(directory(env), name)) ?? []);
  for (const record of found) if (!runs(record)) rmSync(file(env, record), { force: true });
  return found.filter(runs).sort((a, b) => a.local - b.local);
}

/** Ends a forward. */
export function stopForward(env: Environment, record: ForwardRecord): void {
  if (runs(record)) process.kill(record.pid, "SIGTERM");
  rmSync(file(env, record), { force: true });
}

function readRecord(path: string): ForwardRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(path, "utf8")) as ForwardRecord;
    return Number.isInteger(record.pid) && record.pid > 1 && typeof record.startTime === "string" ? record : undefined;
  } catch {
    return undefined;
  }
}

function runs(record: ForwardRecord): boolean {
  return record.startTime !== "" && startTimeOf(record.pid) === record.startTime;
}

/** Field 22 of /proc/PID/stat; undefined when there is no such process. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
