import { findFlag, firstPositional, hasNegative, signatureOf, takesNextWord } from "../../../command/args.ts";
import { type Command, resolve, type Subcommand } from "../../../command/define.ts";
import { aliasesOf, metaOf } from "../../../command/resolve.ts";

/** What a word can be completed to by asking the registry or the gateway. */
export type DynamicKind = "sandbox" | "gateway" | "provider" | "template";

export interface Candidates {
  readonly words: readonly string[];
  readonly dynamic?: DynamicKind;
  /** The shell should offer files. */
  readonly files: boolean;
}

/** Groups whose NAME is not a sandbox. */
const GATEWAY_GROUP = "gateway";
/** What stands for the name of a provider in usage. */
const PROVIDER = "PROVIDER";

/**
 * What may stand at the last of `words` (which may be empty): commands, flags, the values of an enum, names, or files. `words` are without
 * the program's name.
 */
export async function candidates(root: Command, words: readonly string[]): Promise<Candidates> {
  const rootFlags = (await signatureOf(root)).flags;
  const current = words[words.length - 1] ?? "";
  let before = words.slice(0, -1);
  let command = root;
  const path: string[] = [];
  for (;;) {
    const signature = await signatureOf(command);
    const flags = command === root ? rootFlags : [...signature.flags, ...rootFlags.filter((flag) => !flag.def.local)];
    const subs = command.subCommands === undefined ? {} : await resolve(command.subCommands);
    const index = firstPositional(flags, before);
    const word = index === -1 ? undefined : before[index];
    const next = word === undefined ? undefined : await subcommandNamed(subs, word);
    if (next !== undefined) {
      path.push(next[0]);
      command = await resolve<Command>(next[1]);
      before = before.slice(index + 1);
      continue;
    }
    if (before.includes("--")) return { words: [], files: true };
    const previous = before[before.length - 1] ?? "";
    if (previous.startsWith("-") && takesNextWord(flags, previous)) {
      const flag = findFlag(flags, previous);
      if (flag?.def.type === "enum") return { words: flag.def.options, files: false };
      if (flag?.name === "gateway") return { words: [], dynamic: "gateway", files: false };
      if (flag?.name === "name" && path.includes("exec")) return { words: [], dynamic: "sandbox", files: false };
      if (flag?.name === "policy-template") return { words: [], dynamic: "template", files: false };
      if (flag?.def.valueHint === PROVIDER) return { words: [], dynamic: "provider", files: false };
      return { words: [], files: flag?.def.valueHint === "FILE" };
    }
    if (current.startsWith("-")) {
      const names = flags
        .filter((flag) => !flag.def.hidden)
        .flatMap((flag) => [`--${flag.name}`, ...(hasNegative(flag) ? [`--no-${flag.name}`] : [])]);
      return { words: [...names, "--help"], files: false };
    }
    const names: string[] = [];
    if (word === undefined) {
      for (const [name, sub] of Object.entries(subs)) if (!(await metaOf(sub)).hidden) names.push(name);
    }
    if (path.at(-1) === "show-template") return { words: [], dynamic: "template", files: false };
    const wantsName = signature.positionals.find(({ def }) => def.valueHint === "NAME");
    if (wantsName !== undefined && (word === undefined || wantsName.def.multiple)) {
      return { words: names, dynamic: path[0] === GATEWAY_GROUP ? "gateway" : "sandbox", files: false };
    }
    const positional = signature.positionals[0]?.def;
    const isFirst = positional?.valueHint === PROVIDER;
    const follows = signature.positionals.some(({ def }) => def.valueHint === PROVIDER) && (!isFirst || positional.multiple === true);
    if (word === undefined ? isFirst : follows) return { words: names, dynamic: "provider", files: false };
    return { words: names, files: word === undefined && (positional?.valueHint === "FILE" || positional?.terminator === "implied") };
  }
}

async function subcommandNamed(
  subs: Readonly<Record<string, Subcommand>>,
  word: string,
): Promise<readonly [string, Subcommand] | undefined> {
  for (const [name, sub] of Object.entries(subs)) {
    if (name === word || aliasesOf(await metaOf(sub)).includes(word)) return [name, sub];
  }
  return undefined;
}
