/** Results side by side. */
export type Row = readonly string[];

/** The first column is what was measured; others are aligned under their heads. */
export function printTable(title: string, head: Row, rows: readonly Row[]): void {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: Row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  console.log(`\n${title}\n${line(head)}\n${widths.map((width) => "-".repeat(width)).join("  ")}`);
  for (const row of rows) console.log(line(row));
  console.log("");
}
