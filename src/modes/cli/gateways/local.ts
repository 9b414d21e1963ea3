import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { stateDirectory } from "../../../paths.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A first start makes keys and a store; the rest is a slow disk. Milliseconds. */
const START_TIME = 30_000;
/** Between looks for the ready line or the end. Milliseconds. */
const POLL = 50;
/** A gateway closes its connections and its store in this time. Milliseconds. */
const STOP_TIME = 10_000;
/** What a gateway in the background keeps of the caller's environment: where its files are. */
const KEPT = ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "OPENSHELL_SYSTEM_GATEWAY_DIR"];

/** The gateway that belongs to this user's state directory. */
export interface LocalGateway {
  readonly stateDirectory: string;
  /** What it wrote when it was started in the background. */
  readonly logFile: string;
  /** Undefined: it does not run. */
  readonly pid: number | undefined;
}

/** Looks whether the local gateway runs. */
export function localGateway(env: Environment): LocalGateway {
  const directory = stateDirectory(env as NodeJS.ProcessEnv);
  const lock = join(directory, "gateway/gateway.lock");
  const text = readText(lock);
  const pid = text === undefined ? undefined : Number(text.trim());
  return {
    stateDirectory: directory,
    logFile: join(directory, "gateway/gateway.log"),
    // The number may belong to another process by now, so its command line must say what it is.
    pid: pid !== undefined && readText(`/proc/${pid}/cmdline`)?.includes("\0gateway\0serve") ? pid : undefined,
  };
}

/** Starts `gateway serve` in the background and returns its pid once it is ready; what it said is in the error when it is not. */
export async function startGateway(env: Environment, flags: readonly string[]): Promise<number> {
  const { stateDirectory: directory, logFile, pid } = localGateway(env);
  if (pid !== undefined) {
    throw new OpenShellError("failed_precondition", `a gateway (pid ${pid}) already runs on ${directory}`, {
      next: "openshell gateway stop",
    });
  }
  mkdirSync(join(directory, "gateway"), { recursive: true, mode: 0o700 });
  const from = existsSync(logFile) ? statSync(logFile).size : 0;
  const log = openSync(logFile, "a", 0o600);
  const kept = Object.fromEntries(KEPT.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
  const child = Bun.spawn({
    cmd: [...selfCommand(), "gateway", "serve", ...flags],
    cwd: "/",
    env: ownEnvironment(kept),
    stdin: "ignore",
    stdout: log,
    stderr: log,
    detached: true,
  });
  closeSync(log);
  const said = (): string => readFileSync(logFile).subarray(from).toString();
  const until = performance.now() + START_TIME;
  while (performance.now() < until && child.exitCode === null) {
    if (said().includes("gateway ready on")) {
      child.unref();
      return child.pid;
    }
    await Bun.sleep(POLL);
  }
  if (child.exitCode === null) child.kill("SIGTERM");
  const lines = said().trim().split("\n");
  const find = (prefix: string): string | undefined => lines.findLast((line) => line.startsWith(prefix))?.slice(prefix.length);
  throw new OpenShellError("failed_precondition", `the gateway did not start: ${find("Error: ") ?? lines.at(-1) ?? ""}`, {
    next: find("Next: ") ?? `look at ${logFile}`,
  });
}

/** Ends the local gateway; false when none runs. Its sandboxes go on. */
export async function stopGateway(env: Environment): Promise<boolean> {
  const { pid } = localGateway(env);
  if (pid === undefined) return false;
  process.kill(pid, "SIGTERM");
  for (let waited = 0; waited < STOP_TIME; waited += POLL) {
    if (localGateway(env).pid !== pid) return true;
    await Bun.sleep(POLL);
  }
  throw new OpenShellError("deadline_exceeded", `the gateway (pid ${pid}) did not end within ${STOP_TIME / 1000} s`, {
    next: `kill -9 ${pid}`,
  });
}

/**
 * A systemd unit that runs the gateway; `KillMode=process` leaves the sandboxes running when it is stopped. An ordinary user's gateway
 * gets its group to divide, without which it can limit nothing.
 */
export function systemdUnit(program: string, isRoot = process.getuid?.() === 0): string {
  return `[Unit]
Description=OpenShell gateway
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=${program} gateway serve
Restart=on-failure
RestartSec=1
KillMode=process
TasksMax=infinity
${isRoot ? "" : "Delegate=cpu memory pids\nDelegateSubgroup=gateway\n"}
[Install]
WantedBy=${isRoot ? "multi-user.target" : "default.target"}
`;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
