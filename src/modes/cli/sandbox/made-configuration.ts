import { printable } from "../../../command/printable.ts";
import type { Terminal } from "../../../command/terminal.ts";

/** Warns, on standard error, of configuration of a person's tools that programs of a sandbox made in mounts (threat 15). */
export function warnOfMade(paths: readonly string[], terminal: Pick<Terminal, "err">): void {
  for (const path of paths) {
    terminal.err(
      `Warning: a program in the sandbox made ${printable(path)}: tools of yours run or obey what is there, so look at it first\n`,
    );
  }
}
