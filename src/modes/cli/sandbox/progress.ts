import { printable } from "../../../command/printable.ts";
import type { Terminal } from "../../../command/terminal.ts";

/** Steps of something that takes a while, on standard error: a checklist on a terminal, timed lines elsewhere. */
export interface Progress {
  /** Ends the step before and begins this one. */
  step(text: string): void;
  /** A line beside the steps. */
  note(text: string): void;
  /** Ends the last step. */
  done(): void;
  /** Leaves the last step open, as failed. */
  failed(): void;
}

/** Clears the line that shows the running step. */
const REWRITE = "\r\x1b[K";

/** Starts the clock. `now` in milliseconds. */
export function openProgress(terminal: Terminal, now: () => number = () => performance.now()): Progress {
  const { errorStyle: style } = terminal;
  const started = now();
  const seconds = () => ((now() - started) / 1000).toFixed(1);
  let current: string | undefined;
  if (!terminal.stderrIsTerminal) {
    const line = (text: string) => terminal.err(`[${seconds()}s] ${printable(text)}\n`);
    return { step: line, note: line, done: () => {}, failed: () => {} };
  }
  const end = (mark: string) => {
    if (current !== undefined) terminal.err(`${REWRITE}${mark} ${printable(current)} ${style.dim(`(${seconds()}s)`)}\n`);
    current = undefined;
  };
  return {
    step: (text) => {
      end(style.green("✓"));
      current = text;
      terminal.err(`${style.yellow("•")} ${printable(text)}`);
    },
    note: (text) => {
      terminal.err(`${current === undefined ? "" : REWRITE}  ${style.dim(printable(text))}\n`);
      if (current !== undefined) terminal.err(`${style.yellow("•")} ${printable(current)}`);
    },
    done: () => end(style.green("✓")),
    failed: () => end(style.red("✗")),
  };
}
