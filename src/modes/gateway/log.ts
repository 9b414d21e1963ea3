export type LogLevel = "error" | "warn" | "info" | "debug";
export const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug"];

export type Log = (level: LogLevel, message: string, detail?: unknown) => void;

/** The gateway's own log: one line per event on stderr, control bytes escaped so that one event stays one line. */
export function openLog(level: LogLevel, write: (line: string) => void = (line) => void process.stderr.write(line)): Log {
  const threshold = LOG_LEVELS.indexOf(level);
  return (at, message, detail) => {
    if (LOG_LEVELS.indexOf(at) > threshold) return;
    const cause =
      detail === undefined ? "" : ` (${detail instanceof Error ? (level === "debug" ? detail.stack : detail.message) : String(detail)})`;
    write(`${new Date().toISOString()} ${at.toUpperCase().padEnd(5)} ${escapeControls(message + cause)}\n`);
  };
}

/** Replaces every control byte by `\xNN`. */
export function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
