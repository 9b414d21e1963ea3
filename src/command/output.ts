import { printable } from "./printable.ts";
import type { Terminal } from "./terminal.ts";

/** Every character outside printable ASCII as `\u`: still the same JSON, and no control or bidi byte on a screen. */
export function asciiJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(/[^\n\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The value as YAML in printable ASCII: strings with other characters are double-quoted and escaped. */
export async function asciiYaml(value: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import("yaml");
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === "string" && !/^[\n\x20-\x7e]*$/.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  // What is not ASCII stands in double quotes now, where YAML reads \U escapes.
  return document
    .toString({ lineWidth: 0 })
    .replace(/[^\n\x20-\x7e]/gu, (c) => `\\U${(c.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`);
}

/** The flag of commands that print data. */
export const outputArg = {
  type: "enum",
  alias: "o",
  options: ["table", "json", "yaml", "name"],
  default: "table",
  description: "How to print",
} as const;

export type OutputFormat = "table" | "json" | "yaml" | "name";

/** How one result can be printed. */
export interface Printed {
  /** For json and yaml. */
  readonly data: unknown;
  /** One per line for `-o name`. */
  readonly names: readonly string[];
  /** For people; already safe for the screen. */
  readonly table: () => string | Promise<string>;
}

/** Prints a result in the format that was asked for. */
export async function print(format: OutputFormat, result: Printed, terminal: Terminal): Promise<void> {
  if (format === "json") terminal.out(`${asciiJson(result.data, 2)}\n`);
  else if (format === "yaml") terminal.out(await asciiYaml(result.data));
  else if (format === "name") terminal.out(result.names.map((name) => `${printable(name)}\n`).join(""));
  else terminal.out(await result.table());
}
