import type { TerminalModes } from "../../../linux/terminal-modes.ts";
import type { LaunchSpec } from "../box/contract.ts";

/** Size of a terminal in characters. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** What a client asked for with `pty-req`. */
export interface RequestedTerminal extends TerminalSize {
  readonly term: string;
  /** How the person's own terminal is set. */
  readonly modes: TerminalModes;
}

/** What a client wants to run; `shell` is an interactive one. */
export type Wanted = { readonly kind: "shell" } | { readonly kind: "command"; readonly command: string };

/** What a program of this sandbox is started with. */
export interface Surroundings {
  readonly shell: string;
  readonly workdir: string;
  readonly environment: Readonly<Record<string, string>>;
}

const DEFAULT_TERM = "xterm-256color";

/** Names of terminals in the terminfo database; anything else could be a path of a file that programs would load. */
const TERM_NAME = /^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$/;

/**
 * The program for a request, always by a login shell: `-l` with a terminal, plain and reading its input without one, `-lc` for a command.
 * Nothing of the client but the command and the terminal's name and size gets in.
 */
export function programFor(
  wanted: Wanted,
  terminal: RequestedTerminal | undefined,
  { shell, workdir, environment }: Surroundings,
): LaunchSpec {
  const argv = wanted.kind === "command" ? [shell, "-lc", wanted.command] : terminal === undefined ? [shell] : [shell, "-l"];
  if (terminal === undefined) return { argv, environment, workdir, stdio: "pipe" };
  const TERM = TERM_NAME.test(terminal.term) ? terminal.term : DEFAULT_TERM;
  return {
    argv,
    environment: { ...environment, TERM },
    workdir,
    stdio: { columns: terminal.columns, rows: terminal.rows, modes: terminal.modes },
  };
}
