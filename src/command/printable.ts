const PLAIN = /^[\x20-\x7e]*$/;
const encoder = new TextEncoder();

/**
 * Text from elsewhere, safe for a terminal: every byte of its UTF-8 form outside printable ASCII becomes `\xNN`, so that escapes,
 * newlines, bidi controls and look-alike letters are seen for what they are.
 */
export function printable(text: string): string {
  if (PLAIN.test(text)) return text;
  let out = "";
  for (const byte of encoder.encode(text)) {
    out += byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return out;
}

/** Typographic characters of our own sentences, and what they are in ASCII. */
const TYPOGRAPHY: Readonly<Record<string, string>> = { "—": "-", "–": "-", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'" };

/** {@link printable} for sentences that we or the gateway wrote around names from elsewhere: dashes, dots and quotes become ASCII. */
export function printableSentence(text: string): string {
  return printable(text.replace(/[—–…“”‘’]/g, (c) => TYPOGRAPHY[c] ?? c));
}

/** Like {@link printableSentence}, but line breaks stay: for text of several lines that we print line by line. */
export function printableLines(text: string): string {
  return text.split("\n").map(printableSentence).join("\n");
}

/** At most `limit` characters, the cut shown; for text that is data, never for a host name. */
export function shortened(text: string, limit: number): string {
  const safe = printable(text);
  return safe.length <= limit ? safe : `${safe.slice(0, limit - 3)}...`;
}
