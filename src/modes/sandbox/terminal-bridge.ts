import { constants } from "node:os";
import { makeTerminalRaw } from "../../linux/terminal.ts";
import type { Child } from "./box/contract.ts";
import { DescriptorWriter, readTerminal } from "./descriptor-stream.ts";

/** Size for a terminal that does not tell its own. */
const DEFAULT_SIZE = { columns: 80, rows: 24 };

/** Nothing has come for this long after the end of the program: all it wrote has arrived. Milliseconds. */
const QUIET_TIME = 50;

const STDIN = 0;

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
  const restore = makeTerminalRaw(STDIN);
  stdin.on("data", onKeys).on("end", onGone).on("error", onGone);
  stdout.on("resize", onResize).on("error", onGone);
  const output = new OutputCopy(child.stdio.stdout);
  return {
    async [Symbol.asyncDispose]() {
      await output.quiet();
      stdin.off("data", onKeys).off("end", onGone).off("error", onGone);
      stdout.off("resize", onResize);
      stdin.pause();
      restore();
    },
  };
}

/** Copies what the program shows to the person's terminal, as fast as that takes it. */
class OutputCopy {
  readonly #ended: Promise<void>;
  #pieces = 0;
  #writing = false;

  constructor(descriptor: number) {
    this.#ended = this.#copy(descriptor);
  }

  /** When the program has ended: its output is there. What it left in the background may hold the terminal open for ever. */
  async quiet(): Promise<void> {
    for (let seen = -1; this.#writing || seen !== this.#pieces; ) {
      seen = this.#pieces;
      const over = await Promise.race([this.#ended.then(() => true), Bun.sleep(QUIET_TIME)]);
      if (over) return;
    }
  }

  async #copy(descriptor: number): Promise<void> {
    for await (const piece of readTerminal(descriptor)) {
      this.#pieces += 1;
      this.#writing = true;
      if (!process.stdout.write(piece)) await new Promise<void>((resolve) => process.stdout.once("drain", () => resolve()));
      this.#writing = false;
    }
  }
}
