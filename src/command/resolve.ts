import { type Flag, firstPositional, type Signature, signatureOf } from "./args.ts";
import { type Command, type CommandMeta, resolve, type Subcommand } from "./define.ts";
import { nearest } from "./nearest.ts";
import { usageError } from "./usage-error.ts";

/** The command that a command line names, and the words that are left for it. */
export interface Resolution {
  readonly command: Command;
  /** `["openshell", "sandbox", "draft"]` */
  readonly path: readonly string[];
  /** Without the names of the commands; flags before a name stay. */
  readonly words: readonly string[];
  readonly signature: Signature;
  /** Flags of the root, which every command takes. */
  readonly globals: readonly Flag[];
  /** `--help` or `-h` stood before any `--`. */
  readonly help: boolean;
}

const HELP = new Set(["--help", "-h"]);

/** A subcommand's meta without loading it, when its definition allows. */
export async function metaOf(sub: Subcommand): Promise<CommandMeta> {
  if (sub.meta !== undefined) return resolve(sub.meta);
  const command = await resolve<Command>(sub);
  return command.meta === undefined ? {} : resolve(command.meta);
}

/** The names that a command answers to. */
export function aliasesOf(meta: CommandMeta): readonly string[] {
  return meta.alias === undefined ? [] : Array.isArray(meta.alias) ? meta.alias : [meta.alias];
}

async function findSubcommand(subs: Readonly<Record<string, Subcommand>>, word: string): Promise<[string, Subcommand] | undefined> {
  if (Object.hasOwn(subs, word)) {
    const sub = subs[word];
    return sub === undefined ? undefined : [word, sub];
  }
  for (const [name, sub] of Object.entries(subs)) {
    if (sub.meta !== undefined && aliasesOf(await resolve(sub.meta)).includes(word)) return [name, sub];
  }
  return undefined;
}

async function visibleNames(subs: Readonly<Record<string, Subcommand>>): Promise<string[]> {
  const names: string[] = [];
  for (const [name, sub] of Object.entries(subs)) {
    if (sub.meta === undefined || !(await resolve(sub.meta)).hidden) names.push(name);
  }
  return names;
}

/** Takes `--help` out, wherever it stands before `--` and is not a flag's value, or before the words of a command for the sandbox. */
function takeHelp(words: readonly string[], signature: Signature, flags: readonly Flag[]): { words: readonly string[]; help: boolean } {
  let end = words.indexOf("--");
  if (end === -1) end = words.length;
  if (signature.positionals[0]?.def.terminator === "implied") {
    const first = firstPositional(flags, words);
    if (first !== -1) end = Math.min(end, first);
  }
  const kept = words.filter((word, i) => i >= end || !HELP.has(word));
  return { words: kept, help: kept.length !== words.length };
}

/**
 * Walks down from the root: at each level the first word that is no flag is a subcommand, or, for a command that has arguments of its own
 * (`draft NAME`), its first argument. An unknown name is an error that tells the nearest one.
 */
export async function resolveCommand(root: Command, rootName: string, argv: readonly string[]): Promise<Resolution> {
  const rootFlags = (await signatureOf(root)).flags;
  const globals = rootFlags.filter((flag) => !flag.def.local);
  let command = root;
  let words = argv;
  const path = [rootName];
  for (;;) {
    const signature = await signatureOf(command);
    const flags = command === root ? rootFlags : [...signature.flags, ...globals];
    const subs = command.subCommands === undefined ? {} : await resolve(command.subCommands);
    const index = firstPositional(flags, words);
    const word = index === -1 ? undefined : words[index];
    const found = word === undefined ? undefined : await findSubcommand(subs, word);
    if (found !== undefined) {
      path.push(found[0]);
      command = await resolve<Command>(found[1]);
      words = [...words.slice(0, index), ...words.slice(index + 1)];
      continue;
    }
    if (word !== undefined && Object.keys(subs).length > 0 && (command.run === undefined || signature.positionals.length === 0)) {
      const guess = nearest(word, await visibleNames(subs));
      throw usageError(
        `unknown command '${word}'`,
        path,
        guess === undefined ? undefined : `did you mean '${[...path, guess].join(" ")}'? (all commands: ${path.join(" ")} --help)`,
      );
    }
    const taken = takeHelp(words, signature, flags);
    return { command, path, words: taken.words, signature, globals: command === root ? [] : globals, help: taken.help };
  }
}
