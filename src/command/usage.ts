import { type Flag, hasNegative, type Signature } from "./args.ts";
import { type CommandMeta, resolve } from "./define.ts";
import { aliasesOf, metaOf, type Resolution } from "./resolve.ts";
import type { Style } from "./terminal.ts";

/** Spaces before the first column of a list. */
const INDENT = "  ";
/** A first column wider than this puts its text on the next line. */
const MAX_FIRST_COLUMN = 34;

type Row = readonly [string, string];

function rows(list: readonly Row[], style: Style): string[] {
  const width = Math.min(MAX_FIRST_COLUMN, Math.max(...list.map(([name]) => name.length)));
  return list.map(([name, text]) => {
    if (text === "") return `${INDENT}${style.cyan(name)}`;
    if (name.length > width) return `${INDENT}${style.cyan(name)}\n${INDENT}${" ".repeat(width)}  ${text}`;
    return `${INDENT}${style.cyan(name)}${" ".repeat(width - name.length)}  ${text}`;
  });
}

function hintOf(flag: Flag): string {
  const { def } = flag;
  if (def.type === "boolean") return "";
  if (def.type === "enum") return ` ${def.valueHint ?? def.options.join("|")}`;
  return ` ${def.valueHint ?? flag.name.toUpperCase()}`;
}

function flagRow(flag: Flag): Row {
  const { def } = flag;
  const names = [...flag.short.map((letter) => `-${letter}`), `--${flag.name}`, ...flag.long.map((name) => `--${name}`)];
  if (hasNegative(flag)) names.push(`--no-${flag.name}`);
  const notes: string[] = [];
  const fallback = def.type === "string" && def.integer !== undefined ? def.integer.default : def.default;
  if (fallback !== undefined && fallback !== "" && fallback !== false) notes.push(`default: ${String(fallback)}`);
  if (def.type === "string" && def.multiple) notes.push("may be repeated");
  if (def.required) notes.push("required");
  if (def.env !== undefined) notes.push(`env: ${[def.env].flat()[0]}`);
  const text = [def.description ?? "", def.type === "boolean" ? (def.negativeDescription ?? "") : ""]
    .filter((part) => part !== "")
    .join("; ");
  return [`${names.join(", ")}${hintOf(flag)}`, `${text}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}`.trim()];
}

function usageLine(path: readonly string[], signature: Signature, hasSubcommands: boolean, runs: boolean): string[] {
  const words = [...path];
  if (signature.flags.length > 0) words.push("[FLAGS]");
  for (const { name, def } of signature.positionals) {
    const label = `${(def.valueHint ?? name).toUpperCase()}${def.multiple ? "..." : ""}`;
    const dashed = def.terminator === undefined ? label : `-- ${label}`;
    words.push(def.required === false || def.default !== undefined ? `[${dashed}]` : dashed);
  }
  const lines: string[] = [];
  if (runs) lines.push(words.join(" "));
  if (hasSubcommands) lines.push(`${path.join(" ")} COMMAND`);
  return lines;
}

/**
 * Help of one command. Ours rather than citty's: it needs no import of the subcommands (so that it starts in tens of milliseconds), and it
 * shows examples, variables and repeatable flags.
 */
export async function renderUsage(at: Resolution, style: Style): Promise<string> {
  const { command, path, signature, globals } = at;
  const meta: CommandMeta = command.meta === undefined ? {} : await resolve(command.meta);
  const subs = command.subCommands === undefined ? [] : Object.entries(await resolve(command.subCommands));
  const sections: string[] = [];
  const heading = (title: string, lines: readonly string[]) => sections.push([style.bold(title), ...lines].join("\n"));
  if (meta.description) sections.push(meta.description);
  const lines = usageLine(path, signature, subs.length > 0, command.run !== undefined);
  heading(
    "Usage:",
    lines.map((line) => `${INDENT}${line}`),
  );
  const commands: Row[] = [];
  for (const [name, sub] of subs) {
    const subMeta = await metaOf(sub);
    if (!subMeta.hidden) commands.push([[name, ...aliasesOf(subMeta)].join(", "), subMeta.description ?? ""]);
  }
  if (commands.length > 0) heading("Commands:", rows(commands, style));
  const places: Row[] = signature.positionals
    .filter(({ def }) => def.description !== undefined)
    .map(({ name, def }) => [(def.valueHint ?? name).toUpperCase(), def.description ?? ""]);
  if (places.length > 0) heading("Arguments:", rows(places, style));
  const own = signature.flags.filter((flag) => !flag.def.hidden).map(flagRow);
  if (path.length > 1 && own.length > 0) heading("Flags:", rows(own, style));
  const everywhere = (path.length > 1 ? globals : signature.flags).filter((flag) => !flag.def.hidden).map(flagRow);
  heading("Global flags:", rows([...everywhere, ["-h, --help", "Show this help"]], style));
  if (meta.examples !== undefined && meta.examples.length > 0)
    heading(
      "Examples:",
      meta.examples.map((line) => `${INDENT}${line}`),
    );
  return `${sections.join("\n\n")}\n`;
}
