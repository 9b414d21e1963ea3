import { constants } from "node:os";
import type { Child } from "./box/contract.ts";
import { DescriptorWriter, readTerminal } from "./descriptor-stream.ts";

/** Size for a terminal that does not tell its own. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** How long the last output may take to arrive when the program has ended. Milliseconds. */
const DRAIN_TIME = 2000;

/** True when a person sits at both ends. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true;
}

/** Size of the person's terminal. */
export function terminalSize(): { readonly columns: number; readonly rows: number } {
  const { columns, rows } = process.stdout;
  return { columns: columns || DEFAULT_SIZE.columns, rows: rows || DEFAULT_SIZE.rows };
}

/**
 * Joins the person's terminal to the program's own one inside the box: the program never holds the person's terminal, so it cannot type
 * into it. Keys go in raw (Ctrl-C reaches the program), size changes follow, and a terminal that goes away hangs up on the program.
 */
export function bridgeTerminal(child: Child): AsyncDisposable {
  if (!child.stdio) throw new Error("the program has no terminal of its own");
  const { stdin, stdout } = process;
  const writer = new DescriptorWriter(child.stdio.stdin);
  const onKeys = (data: Uint8Array) => {
    // One piece at a time: a program that does not read stops the person's paste, not our memory.
    stdin.pause();
    void writer.write(data).then(() => stdin.resume());
  };
  const onResize = () => {
    const { columns, rows } = terminalSize();
    child.resize(columns, rows);
  };
  const onGone = () => child.signal(constants.signals.SIGHUP);
  stdin.setRawMode(true);
  stdin.on("data", onKeys).on("end", onGone).on("error", onGone);
  stdout.on("resize", onResize).on("error", onGone);
  const output = copyOutput(child.stdio.stdout);
  return {
    async [Symbol.asyncDispose]() {
      // What the program left in the background may hold its terminal for ever.
      await Promise.race([output, Bun.sleep(DRAIN_TIME)]);
      stdin.off("data", onKeys).off("end", onGone).off("error", onGone);
      stdout.off("resize", onResize);
      try {
        stdin.setRawMode(false);
      } catch {
        // The terminal is gone.
      }
      stdin.pause();
    },
  };
}

async function copyOutput(descriptor: number): Promise<void> {
  for await (const chunk of readTerminal(descriptor)) {
    if (!process.stdout.write(chunk)) await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
  }
}
