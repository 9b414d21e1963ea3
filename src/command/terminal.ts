import picocolors from "picocolors";
import { makeTerminalRaw } from "../linux/terminal.ts";

/** Where a command reads and writes; tests give their own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Colours for standard output, or plain text. */
  readonly style: Style;
  /** Colours for standard error. */
  readonly errorStyle: Style;
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Bytes of a remote program, as they are. */
  outBytes(bytes: Uint8Array): Promise<void>;
  errBytes(bytes: Uint8Array): Promise<void>;
  readonly stdin: Stdin;
  /** Columns and rows of the terminal on standard output. */
  size(): { readonly cols: number; readonly rows: number };
  /** Calls back when the size changes, until the returned function is called. */
  onResize(listener: () => void): () => void;
}

/** Standard input as chunks; `raw` hands over every key, and every byte of output as it is; `stop` gives the terminal back. */
export interface Stdin extends AsyncIterable<Uint8Array> {
  raw(on: boolean): void;
  stop(): void;
}

export type Style = ReturnType<typeof picocolors.createColors>;

/** Colours are used on a terminal only, and never with a non-empty `NO_COLOR` (no-color.org) or on a dumb terminal. */
export function wantsColor(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): boolean {
  return isTerminal && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

/** A size for programs that ask when there is no terminal (the usual default of terminals). */
const DEFAULT_SIZE = { cols: 80, rows: 24 };

function write(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(data, (error) => (error ? reject(error) : resolve()));
  });
}

const STDIN = 0;

/**
 * Raw in both directions, as the program at the other end has a terminal of its own: the runtime's raw mode leaves output to be processed here,
 * which is one translation of line feeds too many.
 */
function rawMode(stdin: NodeJS.ReadStream): (on: boolean) => void {
  let restore: (() => void) | undefined;
  const leave = (): void => {
    restore?.();
    restore = undefined;
  };
  // However the process ends, the person's terminal is as it was.
  process.on("exit", leave);
  return (on) => {
    if (!on) leave();
    else if (stdin.isTTY && restore === undefined) restore = process.platform === "linux" ? makeTerminalRaw(STDIN) : runtimeRaw(stdin);
  };
}

/** What the runtime can do on systems whose terminal settings we do not know. */
function runtimeRaw(stdin: NodeJS.ReadStream): () => void {
  stdin.setRawMode(true);
  return () => void stdin.setRawMode(false);
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  return {
    env,
    style: picocolors.createColors(wantsColor(env, stdout.isTTY === true)),
    errorStyle: picocolors.createColors(wantsColor(env, stderr.isTTY === true)),
    stdinIsTerminal: stdin.isTTY === true,
    stdoutIsTerminal: stdout.isTTY === true,
    stderrIsTerminal: stderr.isTTY === true,
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    outBytes: (bytes) => write(stdout, bytes),
    errBytes: (bytes) => write(stderr, bytes),
    stdin: {
      // Not destroyed by who stops reading: a second question needs it again.
      [Symbol.asyncIterator]: () => stdin.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>,
      raw: rawMode(stdin),
      stop: () => stdin.pause(),
    },
    size: () => ({ cols: stdout.columns || DEFAULT_SIZE.cols, rows: stdout.rows || DEFAULT_SIZE.rows }),
    onResize: (listener) => {
      stdout.on("resize", listener);
      return () => void stdout.off("resize", listener);
    },
  };
}
