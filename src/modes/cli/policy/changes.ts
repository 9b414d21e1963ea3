import { printable } from "../../../command/printable.ts";
import type { Style } from "../../../command/terminal.ts";
import type { PolicyChange } from "../../../policy/diff.ts";

/** One line per difference: `+ field: value`, `- field: value`, `~ field: before -> after`. */
export function renderChanges(changes: readonly PolicyChange[], style: Style): string {
  if (changes.length === 0) return "No difference.\n";
  return changes
    .map(({ kind, field, before, after }) => {
      const name = printable(field);
      if (kind === "added") return style.green(`+ ${name}: ${value(after)}`);
      if (kind === "removed") return style.red(`- ${name}: ${value(before)}`);
      return style.yellow(`~ ${name}: ${value(before)} -> ${value(after)}`);
    })
    .map((line) => `${line}\n`)
    .join("");
}

function value(given: unknown): string {
  return printable(typeof given === "string" ? given : JSON.stringify(given));
}
