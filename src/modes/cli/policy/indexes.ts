import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { OpenShellError } from "../../../error.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where packages come from; a template names the kind, the person's own configuration the place. */
export type IndexKind = "npm-registry" | "python-index" | "python-files";

export interface IndexPlace {
  readonly host: string;
  readonly port: number;
}

/** How long a package manager may take to say its configuration. Milliseconds. */
const ASK_TIMEOUT = 10_000;

/**
 * The host and port that the person's npm, pip or uv fetches from: their variables and files first, then what the tool itself says. Throws
 * `failed_precondition` when nothing says.
 */
export function packageIndex(kind: IndexKind, env: Environment): IndexPlace {
  const url = kind === "npm-registry" ? npmRegistry(env) : pythonIndex(kind, env);
  if (url !== undefined) {
    try {
      const { hostname, port, protocol } = new URL(url.includes("://") ? url : `https://${url}`);
      if (hostname !== "") return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (protocol === "http:" ? 80 : 443)) };
    } catch {
      // Told below.
    }
  }
  const tool = kind === "npm-registry" ? "npm" : "pip";
  throw new OpenShellError(
    "failed_precondition",
    `the template needs the place that ${tool} fetches packages from, and no configuration of ${tool} names it`,
    {
      next: tool === "npm" ? "npm config set registry URL" : "set PIP_INDEX_URL, or pip config set global.index-url URL",
    },
  );
}

function npmRegistry(env: Environment): string | undefined {
  const file = env["NPM_CONFIG_USERCONFIG"] ?? env["npm_config_userconfig"] ?? (env["HOME"] && join(env["HOME"], ".npmrc"));
  return (
    env["npm_config_registry"] ||
    env["NPM_CONFIG_REGISTRY"] ||
    setting(file, /^\s*registry\s*=\s*["']?([^"'\s]+)/m) ||
    ask(["npm", "config", "get", "registry", "--no-workspaces"], env)
  );
}

/** A configured index serves its files itself; Python's own has a second host for them, which pip knows. */
function pythonIndex(kind: IndexKind, env: Environment): string | undefined {
  const home = env["HOME"] ?? "";
  const files = [env["PIP_CONFIG_FILE"], join(home, ".config/pip/pip.conf"), join(home, ".pip/pip.conf"), "/etc/pip.conf"];
  const configured =
    env["PIP_INDEX_URL"] ||
    env["UV_DEFAULT_INDEX"] ||
    env["UV_INDEX_URL"] ||
    files.map((file) => setting(file, /^\s*index[-_]url\s*=\s*(\S+)/m)).find((url) => url !== undefined);
  if (configured) return configured;
  const field = kind === "python-index" ? "simple_url" : "file_storage_domain";
  return ask(["python3", "-I", "-c", `from pip._internal.models.index import PyPI; print(PyPI.${field})`], env);
}

function setting(file: string | undefined, pattern: RegExp): string | undefined {
  if (!file || !existsSync(file)) return undefined;
  try {
    return pattern.exec(readFileSync(file, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** Runs the tool outside of any project: a directory that a sandbox can write must not say anything here. */
function ask(command: readonly string[], env: Environment): string | undefined {
  const { PATH = "/usr/local/bin:/usr/bin:/bin", HOME } = env;
  const program = Bun.which(command[0] ?? "", { PATH, cwd: "/" });
  if (program === null) return undefined;
  const { exitCode, stdout } = Bun.spawnSync({
    cmd: [program, ...command.slice(1)],
    cwd: "/",
    env: { PATH, ...(HOME === undefined ? {} : { HOME }) },
    stdin: "ignore",
    stderr: "ignore",
    timeout: ASK_TIMEOUT,
  });
  const said = stdout.toString().trim();
  return exitCode === 0 && said !== "" && said !== "undefined" ? said : undefined;
}
