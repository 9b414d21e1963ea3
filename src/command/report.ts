import { OpenShellError } from "../error.ts";
import { printable, printableLines, printableSentence } from "./printable.ts";
import type { Terminal } from "./terminal.ts";

/** Everything went well. */
export const EXIT_OK = 0;
/** Something failed; the message says what and what to do. */
export const EXIT_ERROR = 1;
/** The command line or a file given by it is wrong. */
export const EXIT_USAGE = 2;

/** 2 for input that can be corrected by the person who typed it, else 1. */
export function exitCodeOf(error: OpenShellError): number {
  return error.code === "invalid_argument" ? EXIT_USAGE : EXIT_ERROR;
}

/**
 * Prints an error for a person: the message, each violation with field, position and expectation, then the next step. Never a stack; with
 * `--verbose` or `OPENSHELL_DEBUG=1` its code and cause are named as well.
 */
export function reportError(reason: unknown, terminal: Terminal, verbose = false): number {
  const error = OpenShellError.from(reason);
  const style = terminal.errorStyle;
  const lines = [`${style.bold(style.red("Error:"))} ${printableLines(error.message)}`];
  // A single violation often is the message: told once.
  const told = error.violations.filter(
    ({ field, message, line }) => line !== undefined || (message !== error.message && `${field}: ${message}` !== error.message),
  );
  for (const { field, message, line, column } of told) {
    const at = line === undefined ? "" : ` (line ${line}${column === undefined ? "" : `, column ${column}`})`;
    lines.push(`  ${style.bold(printable(field))}${at}: ${printableSentence(message)}`);
  }
  if (error.next !== undefined) lines.push(`${style.dim("Next:")} ${printableLines(error.next)}`);
  if (verbose) lines.push(`${style.dim("Code:")} ${error.code}`);
  if (verbose && error.cause !== undefined) {
    lines.push(
      `${style.dim("Cause:")} ${printable(error.cause instanceof Error ? `${error.cause.name}: ${error.cause.message}` : String(error.cause))}`,
    );
  }
  terminal.err(`${lines.join("\n")}\n`);
  return exitCodeOf(error);
}
