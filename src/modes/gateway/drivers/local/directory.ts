import { chmodSync, chownSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  MAIN_OUTPUT_MARK,
  SUPERVISOR_LOG_BYTES,
  type SupervisorExit,
  type SupervisorRecord,
  type SupervisorSpec,
} from "../../../../supervisor-spec.ts";
import { writeFileAtomically } from "../../files.ts";

/** Files of one sandbox under `$STATE/sandboxes/<id>` (decision 6). */
export interface SandboxDirectory {
  readonly path: string;
  readonly specFile: string;
  readonly tokenFile: string;
  readonly endpointFile: string;
  readonly caFile: string;
  readonly logFile: string;
}

const SUBDIRECTORIES = ["workspace", "upper", "run", "tls", "log"] as const;

export function sandboxDirectory(root: string, id: string): SandboxDirectory {
  const path = join(root, id);
  return {
    path,
    specFile: join(path, "run/spec.json"),
    tokenFile: join(path, "run/token"),
    endpointFile: join(path, "run/endpoint"),
    caFile: join(path, "run/ca.crt"),
    logFile: join(path, "log/supervisor.log"),
  };
}

/** Makes the directories; the workspace belongs to the sandbox's own user, everything else to the gateway alone. */
export function makeDirectories(directory: SandboxDirectory, owner: { readonly uid: number; readonly gid: number }): void {
  mkdirSync(directory.path, { recursive: true, mode: 0o700 });
  for (const name of SUBDIRECTORIES) mkdirSync(join(directory.path, name), { recursive: true, mode: 0o700 });
  const workspace = join(directory.path, "workspace");
  chownSync(workspace, owner.uid, owner.gid);
  chmodSync(workspace, 0o700);
}

/** Opens the log for a supervisor that starts, at its end; a full one is put aside first. */
export function openLog({ logFile }: SandboxDirectory): number {
  if ((statSync(logFile, { throwIfNoEntry: false })?.size ?? 0) > SUPERVISOR_LOG_BYTES) renameSync(logFile, `${logFile}.1`);
  return openSync(logFile, "a", 0o600);
}

export function writeSpec(directory: SandboxDirectory, spec: SupervisorSpec): void {
  writeFileAtomically(directory.specFile, JSON.stringify(spec), 0o600, { lastsBoot: true });
}

export function writeToken(directory: SandboxDirectory, token: string): void {
  writeFileAtomically(directory.tokenFile, token, 0o600, { lastsBoot: true });
}

/** Where the supervisor finds the gateway: one that was started again may listen on another port. */
export function writeEndpoint(directory: SandboxDirectory, endpoint: string): void {
  writeFileAtomically(directory.endpointFile, endpoint, 0o600, { lastsBoot: true });
}

export function writeSupervisorRecord(directory: SandboxDirectory, record: SupervisorRecord): void {
  writeFileAtomically(join(directory.path, "supervisor.json"), JSON.stringify(record), 0o600, { lastsBoot: true });
}

export function readSupervisorRecord(directory: SandboxDirectory): SupervisorRecord | undefined {
  return readJson(join(directory.path, "supervisor.json"));
}

/** How the supervisor of this instance ended, if it could say. */
export function readExit(directory: SandboxDirectory, instanceId: string): SupervisorExit | undefined {
  const exit = readJson<SupervisorExit>(join(directory.path, "exit.json"));
  return exit?.instanceId === instanceId ? exit : undefined;
}

/**
 * The error with which a supervisor ended that could not even begin, of what it wrote behind `from` bytes of its log. Undefined once a main
 * process could write there as well: its words must not be told as ours.
 */
export function lastError(directory: SandboxDirectory, from: number): string | undefined {
  if (!existsSync(directory.logFile)) return undefined;
  const written = readFileSync(directory.logFile).subarray(from);
  if (written.includes(MAIN_OUTPUT_MARK)) return undefined;
  const lines = written.toString().trimEnd().split("\n").slice(-ERROR_LINES);
  const find = (prefix: string): string | undefined => lines.findLast((line) => line.startsWith(prefix))?.slice(prefix.length);
  const [error, next] = [find("Error: "), find("Next: ")];
  return error === undefined || next === undefined ? error : `${error} (${next})`;
}

/** A program that ends with an error says so in its last lines: the error, and what to do next. */
const ERROR_LINES = 2;

export function forgetProcess(directory: SandboxDirectory): void {
  for (const name of ["supervisor.json", "exit.json"]) rmSync(join(directory.path, name), { force: true });
}

/** Undefined when there is no such file, or nothing sensible in it. A file that cannot be read now is an error: it names a process that may run. */
function readJson<T>(file: string): T | undefined {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
