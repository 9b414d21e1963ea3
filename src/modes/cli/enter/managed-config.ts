import { chmodSync, lstatSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { OpenShellError } from "../../../error.ts";
import { configDirectory } from "../../../paths.ts";
import { type SshHost, sshConfigBlock } from "./ssh-client.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Puts a host into the ssh configuration that we keep, and names that file in the person's own, once, at its top: editors know no other
 * way to a host than a name that `ssh` knows.
 */
export function addManagedHost(host: SshHost, env: Environment): void {
  const home = env["HOME"];
  if (!home) throw new OpenShellError("failed_precondition", "HOME is not set, so there is no ssh configuration to name the sandbox in");
  const managed = join(configDirectory(env as NodeJS.ProcessEnv), "ssh_config");
  const own = join(home, ".ssh", "config");
  try {
    mkdirSync(dirname(managed), { recursive: true, mode: 0o700 });
    replace(managed, withHost(readIfThere(managed), host));
    const text = readIfThere(own);
    if (includes(text, managed)) return;
    mkdirSync(dirname(own), { recursive: true, mode: 0o700 });
    // At the top: below a Host line it would be for that host alone.
    replace(own, `Include ${quoted(managed)}\n${text === "" ? "" : `\n${text}`}`);
  } catch (cause) {
    if (cause instanceof OpenShellError) throw cause;
    throw new OpenShellError("failed_precondition", `cannot write the ssh configuration: ${(cause as Error).message}`, {
      cause,
      next: `put this line at the top of ${own}: Include ${quoted(managed)}`,
    });
  }
}

/** The configuration with this host's block, in place of an earlier one. */
export function withHost(text: string, host: SshHost): string {
  const others = text.split(/^(?=Host )/m).filter((block) => block.trim() !== "" && !block.startsWith(`Host ${host.alias}\n`));
  return [...others, sshConfigBlock(host)].join("");
}

function includes(text: string, path: string): boolean {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.includes(`Include ${quoted(path)}`) || lines.includes(`Include ${path}`);
}

function quoted(path: string): string {
  return /^[A-Za-z0-9_./-]+$/.test(path) ? path : `"${path}"`;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw cause;
  }
}

/** At once, so that ssh never reads half of it; a link stays one, and what it leads to keeps its permissions. */
function replace(path: string, text: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  const file = there === undefined ? path : realpathSync(path);
  const mode = there === undefined ? 0o600 : statSync(file).mode & 0o777;
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode });
  chmodSync(temporary, mode);
  renameSync(temporary, file);
}
