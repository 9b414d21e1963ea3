/** Everything that could start a new line, move a cursor or imitate another character. */
const UNPRINTABLE = /[^\x20-\x7e]|\\/g;
/** As above, and what delimits the fields of a line: blanks and brackets. */
const NOT_A_WORD = /[^\x21-\x7e]|[\\[\]]/g;

function escapeUnit(unit: string): string {
  const code = unit.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Free text as printable ASCII on one line: `\xNN`, `\uNNNN` (UTF-16 units), and a backslash as `\x5c`, so that nothing reads two ways. */
export function escapeText(text: string): string {
  return text.replace(UNPRINTABLE, escapeUnit);
}

/** A path, host or name as one word: also escapes blanks and brackets, so that a file name cannot imitate the fields behind it. */
export function escapeWord(text: string): string {
  return text.replace(NOT_A_WORD, escapeUnit);
}

/** Cuts at `limit` characters and says so with `...`. */
export function clip(text: string, limit: number): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}...`;
}
