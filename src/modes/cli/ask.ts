import type { Terminal } from "../../command/terminal.ts";

const decoder = new TextDecoder();

/** Asks on the terminal; only `y` or `yes` is a yes. */
export async function confirm(question: string, terminal: Terminal): Promise<boolean> {
  terminal.err(`${question} ${terminal.errorStyle.dim("[y/N]")} `);
  let line = "";
  for await (const chunk of terminal.stdin) {
    line += decoder.decode(chunk, { stream: true });
    if (line.includes("\n")) break;
  }
  return /^\s*y(es)?\s*$/i.test(line.split("\n", 1)[0] ?? "");
}
