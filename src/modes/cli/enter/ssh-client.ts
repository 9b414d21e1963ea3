import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { isCompiled } from "../../../reexec.ts";
import type { Gateway, GatewayChoice } from "../connection/gateway.ts";
import { findProgram } from "./find-program.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** One host of an ssh configuration. */
export interface SshHost {
  /** `openshell-NAME.WORKSPACE`, as published clients call it. */
  readonly alias: string;
  /** Options in the spelling of ssh_config(5); values without quotes. */
  readonly options: Readonly<Record<string, string>>;
}

/** How `ssh` reaches a sandbox. */
export function sshHost(sandbox: string, gateway: Gateway, { globals, terminal }: GatewayChoice): SshHost {
  const endpoint = globals["gateway-endpoint"];
  const direct = typeof endpoint === "string" && endpoint !== "";
  const ourselves = (command: string): string[] => [
    ...ownCommand(),
    ...(direct ? ["--gateway-endpoint", endpoint] : []),
    command,
    ...(direct ? [] : ["--gateway-name", gateway.target.name]),
    ...(gateway.workspace === "default" ? [] : ["--workspace", gateway.workspace]),
    "--name",
    sandbox,
  ];
  return {
    alias: `openshell-${sandbox}.${gateway.workspace}`,
    options: {
      User: "sandbox",
      ProxyCommand: ourselves("ssh-proxy").map(proxyWord).join(" "),
      // The sandbox's key is new with each start: the gateway, known by its certificate, says which one it is. An ssh before 8.5 cannot ask, and trusts none.
      IgnoreUnknown: "KnownHostsCommand",
      KnownHostsCommand: [...ourselves("ssh-host-key").map(proxyWord), "--reason %I --host %H --type %t --key %K"].join(" "),
      StrictHostKeyChecking: "yes",
      UserKnownHostsFile: "/dev/null",
      GlobalKnownHostsFile: "/dev/null",
      UpdateHostKeys: "no",
      // The gateway knows who comes: no key of the person's is offered.
      PreferredAuthentications: "none",
      PubkeyAuthentication: "no",
      // A sandbox must not use what a person's configuration gives to other hosts.
      ForwardAgent: "no",
      ForwardX11: "no",
      PermitLocalCommand: "no",
      LogLevel: logLevel(terminal.env),
      ServerAliveInterval: "15",
      ServerAliveCountMax: "3",
    },
  };
}

/** The options as arguments of ssh. */
export function sshArguments({ options }: SshHost): string[] {
  return Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** A `Host` block of ssh_config(5). */
export function sshConfigBlock({ alias, options }: SshHost, more: readonly string[] = []): string {
  const lines = Object.entries(options).map(([name, value]) => `    ${name} ${value}`);
  return [`Host ${[alias, ...more].join(" ")}`, ...lines, ""].join("\n");
}

/** Where ssh is; throws when it is not installed. */
export function findSsh(env: Environment): string {
  const path = findProgram("ssh", env);
  if (path !== undefined) return path;
  throw new OpenShellError("failed_precondition", "ssh is not installed", {
    next: "install OpenSSH's client, or use: openshell sandbox exec",
  });
}

/** Runs ssh on this terminal and answers its exit code. */
export async function runSsh(host: SshHost, options: readonly string[], words: readonly string[], terminal: Terminal): Promise<number> {
  const cmd = [findSsh(terminal.env), ...sshArguments(host), ...options, host.alias, ...words];
  // Keys go to ssh, which is in our process group; what interrupts it must not end us first.
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  try {
    const child = Bun.spawn({ cmd, env: terminal.env as Record<string, string>, stdin: "inherit", stdout: "inherit", stderr: "inherit" });
    return await child.exited;
  } finally {
    process.off("SIGINT", ignore);
  }
}

function ownCommand(): string[] {
  return isCompiled ? [process.execPath] : [process.execPath, Bun.main];
}

/** A word of a ProxyCommand or KnownHostsCommand: quoted for the shell, or for ssh's own reading, with its `%` doubled. */
export function proxyWord(word: string): string {
  const escaped = word.replaceAll("%", "%%");
  return /^[A-Za-z0-9_./:=@%+-]+$/.test(escaped) ? escaped : `'${escaped.replaceAll("'", `'\\''`)}'`;
}

const LOG_LEVELS: ReadonlySet<string> = new Set(["QUIET", "FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"]);

function logLevel(env: Environment): string {
  const wanted = (env["OPENSHELL_SSH_LOG_LEVEL"] ?? "").toUpperCase();
  return LOG_LEVELS.has(wanted) ? wanted : "ERROR";
}
