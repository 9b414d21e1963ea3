import type { Child } from "./box/contract.ts";
import { DescriptorWriter, readTerminal } from "./descriptor-stream.ts";

/** Size for a terminal that does not tell its own. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** True when a person sits at both ends. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Size of the person's terminal. */
export function terminalSize(): { readonly columns: number; readonly rows: number } {
  const { columns = DEFAULT_SIZE.columns, rows = DEFAULT_SIZE.rows } = process.stdout;
  return { columns, rows };
}

/**
 * Joins the person's terminal to the program's own one inside the box: the program never holds the person's terminal, so it cannot type
 * into it. Keys go in raw (Ctrl-C reaches the program), size changes follow.
 */
export function bridgeTerminal(child: Child): AsyncDisposable {
  if (!child.stdio) throw new Error("the program has no terminal of its own");
  const writer = new DescriptorWriter(child.stdio.stdin);
  const onKeys = (data: Uint8Array) => void writer.write(data);
  const onResize = () => {
    const { columns, rows } = terminalSize();
    child.resize(columns, rows);
  };
  process.stdin.setRawMode(true);
  process.stdin.on("data", onKeys);
  process.stdout.on("resize", onResize);
  const output = copyOutput(child.stdio.stdout);
  return {
    async [Symbol.asyncDispose]() {
      await output;
      process.stdin.off("data", onKeys);
      process.stdout.off("resize", onResize);
      process.stdin.setRawMode(false);
      process.stdin.pause();
    },
  };
}

async function copyOutput(descriptor: number): Promise<void> {
  for await (const chunk of readTerminal(descriptor)) {
    if (!process.stdout.write(chunk)) await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
  }
}
