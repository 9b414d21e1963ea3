import { clip, escapeText } from "./escape.ts";

/** A command line is kept to recognise a program by, not to repeat what it did. */
export const MAX_COMMAND_LINE = 512;
/** Patterns are applied to this much; the box records 512 bytes. */
const MAX_INPUT = 2048;
const REDACTED = "[REDACTED]";

/** Words that a secret follows or is assigned to, as flags, variables, fields and headers spell them. */
const SECRET_WORD =
  "(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|key|credentials?|auth(?:orization)?|cookie|session|bearer|signature|sig|sas)";

type Rule = readonly [pattern: RegExp, replacement: string];

/** Well-known shapes of keys, wherever they stand. */
const KEY_SHAPES: readonly Rule[] = [
  [/\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}/g, REDACTED],
  [/\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_[A-Za-z0-9_]{16,}|\bglpat-[A-Za-z0-9_-]{16,}/g, REDACTED],
  [/\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}/g, REDACTED],
  [/\bxox[a-z]-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{8,}/g, REDACTED],
  [
    /\bAIza[A-Za-z0-9_-]{20,}|\bya29\.[A-Za-z0-9_-]+|\bnpm_[A-Za-z0-9]{20,}|\bpypi-[A-Za-z0-9_-]{16,}|\bhf_[A-Za-z0-9]{16,}|\bdop_v1_[a-f0-9]{32,}/g,
    REDACTED,
  ],
  [/\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?/g, REDACTED],
];

/** `token=…` and `password:…`, as names and values stand together. */
const ASSIGNMENT = new RegExp(
  `(?<![a-z0-9_.-])(?=[a-z0-9_.-]*${SECRET_WORD})([a-z0-9_.-]+["']?\\s*[=:]\\s*)("[^"]*"|'[^']*'|[^\\s"',}]+)`,
  "gi",
);

/**
 * Applied in this order: whole structures first, then names, then shapes, then whatever is long and random. The text is of an agent's choice: a
 * name is looked at from its beginning only, and its word ahead of it, or one long name would take seconds.
 */
const RULES: readonly Rule[] = [
  [/-----BEGIN[^-]*-----[\s\S]*?(?:-----END[^-]*-----|$)/g, REDACTED],
  // Header arguments: everything behind the colon, up to the next flag.
  [/\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)(?:(?! -{1,2}[a-zA-Z]| https?:\/\/).)+/gi, `$1$2${REDACTED}`],
  [
    /(?<![a-z-])(?=[a-z-]*\bx-[a-z-]*(?:token|key|auth|secret))([a-z-]+)(\s*[:=]\s*)(?:(?! -{1,2}[a-zA-Z]| https?:\/\/).)+/gi,
    `$1$2${REDACTED}`,
  ],
  // user:pass@ and token@ in URLs
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, `$1${REDACTED}@`],
  // query strings and fragments
  [/(?<![^\s?])([^\s?]*:\/\/[^\s?#]*)[?#]\S*/g, `$1?${REDACTED}`],
  // -u user:pass, --user user:pass
  [/(^|\s)(-u|--user|--proxy-user)([\s=]+)\S+/g, `$1$2$3${REDACTED}`],
  [/(^|\s)(-U\s+)[^\s:]+:\S+/g, `$1$2${REDACTED}`],
  [/(^|\s)(-u)(?=\S*:)\S+/g, `$1$2${REDACTED}`],
  // --password x, --api-key=x; after a flag that takes no value the next one's. -p x is left alone: it is a port more often than a password
  [
    new RegExp(`(?<![a-z0-9_-])(?=[a-z0-9_]*-[a-z0-9_-]*${SECRET_WORD})([a-z0-9_-]+)([\\s=]+)(?:-\\S*\\s+)*("[^"]*"|'[^']*'|\\S+)`, "gi"),
    `$1$2${REDACTED}`,
  ],
  // FOO_TOKEN=…, "secret": "…", password: …
  [ASSIGNMENT, `$1${REDACTED}`],
  [/\b(bearer|basic|digest|negotiate|token)\s+[A-Za-z0-9+/=_.~-]{6,}/gi, `$1 ${REDACTED}`],
  ...KEY_SHAPES,
];

/** Runs that could be a key: 20 and more characters of the alphabets that keys are written in. */
const LONG_RUN = /[A-Za-z0-9+/=_-]{20,}/g;

/**
 * A command line without credentials, as one printable line of at most 512 characters. Removes too much rather than too little: headers,
 * assignments and flags that name a secret, URL user information and queries, key shapes, and every long run that looks random.
 */
export function sanitiseCommandLine(commandLine: string): string {
  let text = commandLine.slice(0, MAX_INPUT);
  for (const [pattern, replacement] of RULES) text = text.replace(pattern, replacement);
  text = text.replace(LONG_RUN, (run) => (looksRandom(run) ? REDACTED : run));
  return clip(escapeText(text), MAX_COMMAND_LINE);
}

/** The path of a request without query and fragment; a segment that holds a key, an assignment to a secret's name, or random text is removed whole. */
export function sanitisePath(path: string): string {
  const segments = path
    .slice(0, MAX_INPUT)
    .replace(/[?#].*$/s, "")
    .split("/");
  return clip(escapeText(segments.map((segment) => (holdsSecret(segment) ? REDACTED : segment)).join("/")), MAX_COMMAND_LINE);
}

function holdsSecret(segment: string): boolean {
  const text = segment.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return [...new Set([segment, text])].some((spelling) => looksRandom(spelling) || HIDING.some((shape) => spelling.search(shape) >= 0));
}

const HIDING = [...KEY_SHAPES.map(([shape]) => shape), ASSIGNMENT];

/** Random text has digits among its letters in every long piece; words, paths and names do not. */
function looksRandom(run: string): boolean {
  return run.split("/").some((piece) => piece.length >= 20 && /\d/.test(piece) && /[A-Za-z]/.test(piece)) || /[A-Za-z+=_-]{40,}/.test(run);
}
