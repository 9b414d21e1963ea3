import type { Terminal } from "../../../command/terminal.ts";

/** Between two lines of progress on a terminal. Milliseconds. */
const INTERVAL = 100;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** How far a copy is, on standard error; nothing where that is no terminal. */
export interface Meter {
  /** Bytes of content so far. */
  at(bytes: number): void;
  /** Takes the line away. */
  done(): void;
}

/** `total` bytes, if it is known. */
export function openMeter(terminal: Terminal, what: string, total?: number): Meter {
  if (!terminal.stderrIsTerminal) return { at: () => {}, done: () => {} };
  let shown = 0;
  return {
    at(bytes) {
      const now = performance.now();
      if (now - shown < INTERVAL) return;
      shown = now;
      const of = total === undefined ? "" : ` of ${size(total)} (${total === 0 ? 100 : Math.floor((bytes / total) * 100)}%)`;
      terminal.err(`\r\x1b[K${what}: ${size(bytes)}${of}`);
    },
    done() {
      if (shown > 0) terminal.err("\r\x1b[K");
    },
  };
}

/** Bytes for a person: `12.3 MiB`. */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < UNITS.length - 1; unit += 1) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
