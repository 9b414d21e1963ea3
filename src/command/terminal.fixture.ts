import picocolors from "picocolors";
import type { Terminal } from "./terminal.ts";

/** For tests: a terminal that keeps what is written to it. */
export interface BufferTerminal extends Terminal {
  stdout(): string;
  stderr(): string;
}

export interface BufferTerminalOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Chunks that standard input gives before it ends. */
  readonly stdin?: readonly (string | Uint8Array)[];
  readonly isTerminal?: boolean;
}

/** A terminal in memory, without colours. */
export function bufferTerminal(options: BufferTerminalOptions = {}): BufferTerminal {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const style = picocolors.createColors(false);
  const isTerminal = options.isTerminal ?? false;
  return {
    env: options.env ?? {},
    style,
    errorStyle: style,
    stdinIsTerminal: isTerminal,
    stdoutIsTerminal: isTerminal,
    stderrIsTerminal: isTerminal,
    out: (text) => void out.push(Buffer.from(text)),
    err: (text) => void err.push(Buffer.from(text)),
    outBytes: async (bytes) => void out.push(Buffer.from(bytes)),
    errBytes: async (bytes) => void err.push(Buffer.from(bytes)),
    stdin: {
      async *[Symbol.asyncIterator]() {
        for (const chunk of options.stdin ?? []) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
      },
      raw: () => {},
      stop: () => {},
    },
    size: () => ({ cols: 80, rows: 24 }),
    onResize: () => () => {},
    stdout: () => Buffer.concat(out).toString(),
    stderr: () => Buffer.concat(err).toString(),
  };
}
