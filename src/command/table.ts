import { printable } from "./printable.ts";
import type { Style } from "./terminal.ts";

/** One cell: text from anywhere, and a colour for it. */
export type Cell = string | { readonly text: string; readonly color: (text: string) => string };

/** Spaces between two columns. */
const GAP = "   ";

/** Columns as wide as their widest cell, bold headings, cells made safe for a terminal. */
export function renderTable(headings: readonly string[], rows: readonly (readonly Cell[])[], style: Style): string {
  const texts = rows.map((row) => row.map((cell) => printable(typeof cell === "string" ? cell : cell.text)));
  const widths = headings.map((heading, column) => Math.max(heading.length, ...texts.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[], paint: (text: string, column: number) => string) =>
    cells
      .map((text, column) => paint(text, column) + (column === cells.length - 1 ? "" : " ".repeat((widths[column] ?? 0) - text.length)))
      .join(GAP)
      .trimEnd();
  const lines = [line(headings, (text) => style.bold(text))];
  for (const [index, row] of rows.entries()) {
    lines.push(
      line(texts[index] ?? [], (text, column) => {
        const cell = row[column];
        return cell === undefined || typeof cell === "string" ? text : cell.color(text);
      }),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** `Key: value` lines with the keys dim and the values aligned. */
export function renderFields(fields: readonly (readonly [string, string])[], style: Style): string {
  const width = Math.max(...fields.map(([key]) => key.length));
  return fields.map(([key, value]) => `${style.dim(`${key}:`)}${" ".repeat(width - key.length + 1)}${value}\n`).join("");
}
