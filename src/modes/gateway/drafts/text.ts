import { MAX_TEXT_LENGTH } from "./limits.ts";

/** Text made safe to show: one line of printable ASCII. */
export interface SafeText {
  readonly text: string;
  /** Something had to be escaped, which is itself worth a note. */
  readonly escaped: boolean;
}

/** Characters with which a pattern language could begin; none may enter a rule from something observed (threat 04). */
export const PATTERN_CHARACTERS = /[*?[\]{}]/;

/** Anything but printable ASCII. */
const UNPRINTABLE = /[^\x20-\x7e]/u;

/** Whether text is printable ASCII throughout. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text) && text.isWellFormed();
}

/** Escapes control, bidirectional and non-ASCII characters as `\xNN` or `\u{N}`, and cuts at `limit` characters with `...`. */
export function safeText(text: string, limit: number = MAX_TEXT_LENGTH): SafeText {
  // Cut first: escaping makes text longer, and unbounded input must not cost unbounded work.
  const head = text.slice(0, limit).toWellFormed();
  const plain = isPrintable(head) ? head : Array.from(head, escapeCharacter).join("");
  const cut = text.length > limit || plain.length > limit;
  return {
    text: cut ? `${plain.slice(0, Math.max(0, limit - 3))}...` : plain,
    escaped: plain !== head || !text.slice(0, limit).isWellFormed(),
  };
}

/** A sentence of ours for places that show ASCII only: the dash becomes a colon. */
export function asciiSentence(sentence: string): string {
  return sentence.replaceAll(" — ", ": ");
}

function escapeCharacter(character: string): string {
  if (!UNPRINTABLE.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}
