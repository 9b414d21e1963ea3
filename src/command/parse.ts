import { parseArgs } from "node:util";
import { type Flag, findFlag, firstPositional, hasNegative, type Signature } from "./args.ts";
import { nearest } from "./nearest.ts";
import { usageError } from "./usage-error.ts";
import { enumValue, integerValue } from "./values.ts";

export interface Parsed {
  /** By name, the command's own and the global ones. */
  readonly values: Record<string, unknown>;
  readonly positionals: readonly string[];
}

type OptionConfig = { type: "string" | "boolean"; short?: string; multiple: true };

/** Every spelling of a flag is one option for parseArgs; `multiple` so that a flag given twice is seen, not lost. */
function optionsOf(flags: readonly Flag[]): Record<string, OptionConfig> {
  const options: Record<string, OptionConfig> = {};
  for (const flag of flags) {
    const type = flag.def.type === "boolean" ? "boolean" : "string";
    for (const name of [flag.name, ...flag.long]) options[name] = { type, multiple: true };
    if (hasNegative(flag)) options[`no-${flag.name}`] = { type: "boolean", multiple: true };
    const [first, ...others] = flag.short;
    if (first !== undefined) options[flag.name] = { type, short: first, multiple: true };
    for (const letter of others) options[`${flag.name} -${letter}`] = { type, short: letter, multiple: true };
  }
  return options;
}

/** What is wrong with words that strict parsing refused: an unknown flag, a missing value, or a value for a switch. */
function explainRefusal(words: readonly string[], flags: readonly Flag[], options: Record<string, OptionConfig>, path: readonly string[]) {
  const { tokens } = parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (option === undefined) {
      const guess = nearest(
        token.name,
        Object.keys(options).filter((name) => !name.includes(" ")),
      );
      return usageError(`unknown flag '${token.rawName}'`, path, guess === undefined ? undefined : `did you mean '--${guess}'?`);
    }
    if (option.type === "boolean" && token.value !== undefined) return usageError(`flag '${token.rawName}' takes no value`, path);
    if (option.type === "string" && (token.value === undefined || (!token.inlineValue && token.value.startsWith("-")))) {
      const hint = findFlag(flags, token.rawName)?.def.valueHint;
      return usageError(`flag '${token.rawName}' needs a value${hint === undefined ? "" : ` (${hint})`}`, path);
    }
  }
  return usageError("the arguments cannot be read", path);
}

function flagValue(flag: Flag, given: readonly (string | boolean)[], source: string, path: readonly string[]): unknown {
  const { def } = flag;
  if (def.type === "string" && def.multiple) return given.map(String);
  if (given.length > 1 && def.type !== "boolean")
    throw usageError(`flag '${source}' is given ${given.length} times, at most once is accepted`, path);
  const value = given[given.length - 1];
  if (def.type === "boolean" || typeof value !== "string") return value;
  if (def.type === "enum") return enumValue(source, value, def.options, path);
  return def.integer === undefined ? value : integerValue(source, value, def.integer, path);
}

/** A boolean from the environment: what the settings of the gateway accept as well. */
function environmentBoolean(name: string, value: string, path: readonly string[]): boolean {
  if (/^(1|true|yes|y|on)$/i.test(value)) return true;
  if (/^(0|false|no|n|off)$/i.test(value)) return false;
  throw usageError(`variable ${name} is '${value}', expected true or false`, path);
}

function defaultOf(flag: Flag): unknown {
  const { def } = flag;
  if (def.type === "string" && def.integer !== undefined) return def.integer.default;
  return def.type === "string" && def.multiple ? [] : def.default;
}

function readFlag(
  flag: Flag,
  values: Readonly<Record<string, readonly (string | boolean)[] | undefined>>,
  env: Readonly<Record<string, string | undefined>>,
  path: readonly string[],
): unknown {
  const given = [flag.name, ...flag.long, ...flag.short.slice(1).map((letter) => `${flag.name} -${letter}`)].flatMap(
    (n) => values[n] ?? [],
  );
  const negative = values[`no-${flag.name}`];
  if (negative !== undefined && hasNegative(flag)) {
    if (given.length > 0) throw usageError(`'--${flag.name}' and '--no-${flag.name}' exclude each other`, path);
    return false;
  }
  if (given.length > 0) return flagValue(flag, given, `--${flag.name}`, path);
  for (const variable of [flag.def.env ?? []].flat()) {
    const fromEnvironment = env[variable];
    if (!fromEnvironment) continue;
    return flagValue(
      flag,
      [flag.def.type === "boolean" ? environmentBoolean(variable, fromEnvironment, path) : fromEnvironment],
      variable,
      path,
    );
  }
  if (flag.def.required) throw usageError(`flag '--${flag.name}' is required`, path);
  return defaultOf(flag);
}

function readPositionals(signature: Signature, before: readonly string[], after: readonly string[], path: readonly string[]) {
  const values: Record<string, unknown> = {};
  const plain = [...before];
  const command = signature.positionals.find(({ def }) => def.terminator !== undefined);
  if (command === undefined || command.def.terminator === "implied") plain.push(...after);
  for (const { name, def } of signature.positionals) {
    const taken = def.terminator === "required" ? [...after] : def.multiple ? plain.splice(0) : plain.splice(0, 1);
    if (taken.length === 0 && def.default !== undefined) taken.push(def.default);
    if (taken.length === 0 && def.required !== false) {
      throw usageError(`argument ${(def.valueHint ?? name).toUpperCase()} is missing`, path);
    }
    values[name] = def.multiple ? taken : taken[0];
  }
  if (plain[0] !== undefined) {
    const hint =
      command?.def.terminator === "required"
        ? `a command for the sandbox goes after '--': ${path.join(" ")} -- ${plain[0]} ...`
        : undefined;
    throw usageError(`unexpected argument '${plain[0]}'`, path, hint);
  }
  return values;
}

/**
 * Parses the words of one command strictly, on node:util parseArgs: unknown flags, missing values, repeated single flags and spare words
 * are errors.
 */
export function parseWords(
  signature: Signature,
  globals: readonly Flag[],
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  path: readonly string[],
): Parsed {
  const own = new Set(signature.flags.flatMap((flag) => [flag.name, ...flag.short]));
  const flags = [
    ...signature.flags,
    ...globals.filter((flag) => !own.has(flag.name)).map((flag) => ({ ...flag, short: flag.short.filter((s) => !own.has(s)) })),
  ];
  const options = optionsOf(flags);
  const args = [...words];
  if (signature.positionals[0]?.def.terminator === "implied") {
    // The first word of the command ends our flags: `exec ls -l` is not our -l.
    const first = firstPositional(flags, args);
    if (first !== -1) args.splice(first, 0, "--");
  }
  let parsed: {
    values: Record<string, (string | boolean)[] | undefined>;
    positionals: string[];
    tokens: { kind: string; index: number }[];
  };
  try {
    parsed = parseArgs({ args, options, strict: true, allowPositionals: true, tokens: true }) as typeof parsed;
  } catch {
    throw explainRefusal(args, flags, options, path);
  }
  const values: Record<string, unknown> = {};
  for (const flag of flags) values[flag.name] = readFlag(flag, parsed.values, env, path);
  const terminator = parsed.tokens.find((token) => token.kind === "option-terminator")?.index ?? Number.POSITIVE_INFINITY;
  const places = parsed.tokens.filter((token) => token.kind === "positional");
  const before = parsed.positionals.filter((_, i) => (places[i]?.index ?? 0) < terminator);
  Object.assign(values, readPositionals(signature, before, parsed.positionals.slice(before.length), path));
  return { values, positionals: parsed.positionals };
}
