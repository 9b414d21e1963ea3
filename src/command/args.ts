import type { ArgDef, Command, PositionalArg } from "./define.ts";
import { resolve } from "./define.ts";

/** A flag with its name. */
export interface Flag {
  readonly name: string;
  readonly def: Exclude<ArgDef, PositionalArg>;
  /** One-letter aliases. */
  readonly short: readonly string[];
  /** Other long names, `no-x` not among them. */
  readonly long: readonly string[];
}

export interface Positional {
  readonly name: string;
  readonly def: PositionalArg;
}

/** The arguments of one command, sorted into flags and positionals. */
export interface Signature {
  readonly flags: readonly Flag[];
  readonly positionals: readonly Positional[];
}

/** Reads a definition; types of citty that we do not use (none) count as strings. */
export async function signatureOf(command: Command): Promise<Signature> {
  const args = (await resolve(command.args ?? {})) as Readonly<Record<string, ArgDef>>;
  const flags: Flag[] = [];
  const positionals: Positional[] = [];
  for (const [name, def] of Object.entries(args)) {
    if (def.type === "positional") {
      positionals.push({ name, def });
      continue;
    }
    const aliases = def.alias === undefined ? [] : Array.isArray(def.alias) ? def.alias : [def.alias];
    flags.push({
      name,
      def: def.type === undefined ? Object.assign({}, def as object, { type: "string" as const }) : def,
      short: aliases.filter((alias) => alias.length === 1),
      long: aliases.filter((alias) => alias.length > 1),
    });
  }
  return { flags, positionals };
}

/** `--no-x` exists for booleans that are on by default or say what the negative does (citty's rule). */
export function hasNegative(flag: Flag): boolean {
  return flag.def.type === "boolean" && (flag.def.default === true || flag.def.negativeDescription !== undefined);
}

/** The flag that a word such as `--name`, `--name=x`, `-n` or `-nx` names. */
export function findFlag(flags: readonly Flag[], word: string): Flag | undefined {
  if (word.startsWith("--")) {
    const long = word.slice(2).split("=", 1)[0] ?? "";
    return flags.find((flag) => flag.name === long || flag.long.includes(long));
  }
  return flags.find((flag) => flag.short.includes(word.charAt(1)));
}

/** True when the next word is this flag's value. */
export function takesNextWord(flags: readonly Flag[], word: string): boolean {
  const flag = findFlag(flags, word);
  if (flag === undefined || flag.def.type === "boolean") return false;
  return word.startsWith("--") ? !word.includes("=") : word.length === 2;
}

/** Index of the first word that is neither a flag nor a flag's value; -1 when there is none before `--`. */
export function firstPositional(flags: readonly Flag[], words: readonly string[]): number {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "--") return -1;
    if (!word.startsWith("-") || word === "-") return i;
    if (takesNextWord(flags, word)) i++;
  }
  return -1;
}
