import { type CommandMeta as CittyMeta, defineCommand as defineCittyCommand } from "citty";
import type { Terminal } from "./terminal.ts";

/** A value, or a function that gives it when it is needed. */
export type Resolvable<T> = T | Promise<T> | (() => T | Promise<T>);

/** Reads a citty `Resolvable`. */
export async function resolve<T>(value: Resolvable<T>): Promise<T> {
  return typeof value === "function" ? await (value as () => T | Promise<T>)() : await value;
}

/** A citty command's meta, with examples: every command has at least one. */
export interface CommandMeta extends CittyMeta {
  /** Command lines that a person can copy, each with a comment or not. */
  readonly examples?: readonly string[];
}

interface BaseArg {
  readonly description?: string;
  /** What stands for the value in usage: `NAME`. */
  readonly valueHint?: string;
  readonly alias?: string | readonly string[];
  readonly required?: boolean;
  /** The variables that give the value when the flag is absent, the first that is set wins; an empty one counts as unset. */
  readonly env?: string | readonly string[];
  readonly hidden?: boolean;
  /** A flag of the root that its subcommands do not take. */
  readonly local?: boolean;
}

export interface StringArg extends BaseArg {
  readonly type: "string";
  readonly default?: string;
  /** May be given several times; the values collect. */
  readonly multiple?: boolean;
  /** The value is a whole number within these bounds (both included), and arrives as a number. */
  readonly integer?: { readonly min: number; readonly max: number; readonly default?: number };
}

export interface BooleanArg extends BaseArg {
  readonly type: "boolean";
  readonly default?: boolean;
  /** Set: `--no-x` exists as well, and this says what it does (as in citty). */
  readonly negativeDescription?: string;
}

export interface EnumArg extends BaseArg {
  readonly type: "enum";
  readonly options: readonly string[];
  readonly default?: string;
}

export interface PositionalArg {
  readonly type: "positional";
  readonly description?: string;
  readonly valueHint?: string;
  readonly default?: string;
  /** As in citty: required unless false. */
  readonly required?: boolean;
  /** Takes all that is left. */
  readonly multiple?: boolean;
  /**
   * The words of a command for the sandbox: `implied` starts with the first word that is no flag, whose own flags are then its own;
   * `required` only takes what stands after `--`.
   */
  readonly terminator?: "implied" | "required";
}

export type ArgDef = StringArg | BooleanArg | EnumArg | PositionalArg;
export type ArgsDef = Readonly<Record<string, ArgDef>>;

type Given<A, T> = A extends { default: string | boolean } | { required: true } ? T : T | undefined;
type ArgValue<A> = A extends { type: "positional" }
  ? A extends { multiple: true }
    ? readonly string[]
    : A extends { required: false }
      ? Given<Omit<A, "required">, string>
      : string
  : A extends { multiple: true }
    ? readonly string[]
    : A extends { integer: { default: number } }
      ? number
      : A extends { integer: object }
        ? Given<A, number>
        : A extends { type: "boolean" }
          ? Given<A, boolean>
          : A extends { type: "enum"; options: readonly (infer O)[] }
            ? Given<A, O>
            : Given<A, string>;

/** What a command's arguments become. */
export type ArgValues<A extends ArgsDef> = { readonly [K in keyof A]: ArgValue<A[K]> };

/** Values of the flags that every command has. */
export type GlobalValues = Readonly<Record<string, unknown>>;

/** What a command's `run` gets. */
export interface Context<A extends ArgsDef = ArgsDef> {
  readonly args: ArgValues<A> & { readonly _: readonly string[] };
  readonly rawArgs: readonly string[];
  readonly terminal: Terminal;
  /** Flags of the commands above this one that were declared `global`. */
  readonly globals: GlobalValues;
}

/**
 * Any command, ours or plain citty: `never` as the context lets definitions with different arguments stand in one tree. A number that
 * `run` answers is the exit code.
 */
export interface Command {
  readonly meta?: Resolvable<CommandMeta>;
  readonly args?: Resolvable<Readonly<Record<string, object>>>;
  readonly subCommands?: Resolvable<Readonly<Record<string, Subcommand>>>;
  readonly run?: (context: never) => unknown;
}

/** A command, or a function that loads it and tells its meta before. */
export type Subcommand = Resolvable<Command> & { readonly meta?: Resolvable<CommandMeta> };

interface CommandDefinition<A extends ArgsDef> {
  readonly meta: CommandMeta & { readonly description: string };
  readonly args?: A;
  readonly subCommands?: Readonly<Record<string, Subcommand>>;
  readonly run?: (context: Context<A>) => Promise<number | undefined> | number | undefined;
}

/** citty's `defineCommand` for our richer arguments: repeated flags, integers, environment, commands after `--`. */
export function defineCommand<const A extends ArgsDef = ArgsDef>(definition: CommandDefinition<A>): Command {
  // citty keeps unknown properties; its own types know only a subset of ours.
  return defineCittyCommand(definition as unknown as Parameters<typeof defineCittyCommand>[0]) as Command;
}

/** A subcommand whose module is imported only when it runs; name and description are here, so that help needs no import. */
export function lazyCommand(meta: CommandMeta & { readonly description: string }, load: () => Promise<Command>): Subcommand {
  // A function of its own: the loader may be shared, its meta must not.
  return Object.assign(() => load(), { meta });
}
