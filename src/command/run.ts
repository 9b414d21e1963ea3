import type { Command, Context } from "./define.ts";
import { parseWords } from "./parse.ts";
import { EXIT_OK, EXIT_USAGE, reportError } from "./report.ts";
import { resolveCommand } from "./resolve.ts";
import type { Terminal } from "./terminal.ts";
import { renderUsage } from "./usage.ts";

/**
 * Runs the command that `argv` names and answers the exit code: what the command answered, 0 when it answered nothing, 2 for wrong input, 1
 * for any other error. Errors are printed, never thrown. A parent command never runs beside its child.
 */
export async function runCommand(root: Command, rootName: string, argv: readonly string[], terminal: Terminal): Promise<number> {
  let verbose = false;
  try {
    const at = await resolveCommand(root, rootName, argv);
    if (at.help) {
      terminal.out(await renderUsage(at, terminal.style));
      return EXIT_OK;
    }
    if (at.command.run === undefined) {
      terminal.err(await renderUsage(at, terminal.errorStyle));
      return EXIT_USAGE;
    }
    const parsed = parseWords(at.signature, at.globals, at.words, terminal.env, at.path);
    const globals = Object.fromEntries(at.globals.map((flag) => [flag.name, parsed.values[flag.name]]));
    verbose = globals["verbose"] === true;
    const context: Context & { cmd: Command } = {
      args: { ...parsed.values, _: parsed.positionals } as Context["args"],
      rawArgs: at.words,
      terminal,
      globals,
      cmd: at.command,
    };
    const code = await at.command.run(context as never);
    return typeof code === "number" ? code : EXIT_OK;
  } catch (reason) {
    return reportError(reason, terminal, verbose || terminal.env["OPENSHELL_DEBUG"] === "1");
  }
}
