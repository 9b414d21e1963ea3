/** Statements of one query that are told of one by one; scripts have tens. */
export const MAX_STATEMENTS = 256;
/** No command has a longer first word. */
const MAX_COMMAND = 32;
/** The first word of what has none. */
const NO_WORD = "UNKNOWN";

/** What opens a dollar quote, and ends it. */
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$/y;

/**
 * The commands of a query text as PostgreSQL separates them: the first word of each statement, in upper case. Semicolons in strings, quoted names,
 * dollar quotes, comments, parentheses and SQL-standard function bodies separate nothing. Strings are read with `standard_conforming_strings`.
 */
export function commandsOf(text: string): { readonly commands: readonly string[]; readonly more: boolean } {
  const scanner = new StatementScanner(text);
  const commands: string[] = [];
  for (let command = scanner.next(); command !== undefined; command = scanner.next()) {
    if (commands.length === MAX_STATEMENTS) return { commands, more: true };
    commands.push(command);
  }
  return { commands, more: false };
}

const DOUBLE_QUOTE = 34;
const DOLLAR = 36;
const QUOTE = 39;
const OPEN = 40;
const CLOSE = 41;
const STAR = 42;
const DASH = 45;
const SLASH = 47;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const SEMICOLON = 59;
const BACKSLASH = 92;
const UNDERSCORE = 95;

function isDigit(code: number): boolean {
  return code >= DIGIT_0 && code <= DIGIT_9;
}

function isWordStart(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === UNDERSCORE || code >= 128;
}

class StatementScanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Steps behind the next statement and gives its command; undefined: there is none. */
  next(): string | undefined {
    let command: string | undefined;
    let previous = "";
    let parentheses = 0;
    let body = 0;
    while (this.#at < this.#text.length) {
      const code = this.#text.charCodeAt(this.#at);
      if (isWordStart(code)) {
        const start = this.#at;
        this.#skipWord();
        // Later words mean nothing, but for the prefix of a string and the body of a function.
        if (command !== undefined && command !== "CREATE" && this.#at - start > 1) continue;
        const word = this.#text.slice(start, this.#at).toUpperCase();
        command ??= word.length > MAX_COMMAND ? NO_WORD : word;
        if (word === "E" && this.#text.charCodeAt(this.#at) === QUOTE) this.#skipEscaped();
        if (command === "CREATE") body += bodyStep(word, previous, body);
        previous = word;
      } else if (!this.#skipBlank(code)) {
        if (code === SEMICOLON && parentheses === 0 && body === 0) {
          this.#at++;
          if (command !== undefined) return command;
        } else {
          if (code === OPEN) parentheses++;
          else if (code === CLOSE) parentheses = Math.max(0, parentheses - 1);
          else if (code !== SEMICOLON) command ??= NO_WORD;
          previous = "";
          this.#skipToken(code);
        }
      }
    }
    return command;
  }

  /** Blanks and comments. */
  #skipBlank(code: number): boolean {
    if (code <= 32 || code === 127) this.#at++;
    else if (code === DASH && this.#text.charCodeAt(this.#at + 1) === DASH) this.#skipTo(this.#text.indexOf("\n", this.#at), 1);
    else if (code === SLASH && this.#text.charCodeAt(this.#at + 1) === STAR) this.#skipComment();
    else return false;
    return true;
  }

  /** Behind what was found, or to the end when it was not. */
  #skipTo(found: number, size: number): void {
    this.#at = found < 0 ? this.#text.length : found + size;
  }

  /** Comments contain comments. */
  #skipComment(): void {
    let depth = 0;
    do {
      const code = this.#text.charCodeAt(this.#at);
      const next = this.#text.charCodeAt(this.#at + 1);
      const step = code === SLASH && next === STAR ? 1 : code === STAR && next === SLASH ? -1 : 0;
      depth += step;
      this.#at += step === 0 ? 1 : 2;
    } while (depth > 0 && this.#at < this.#text.length);
  }

  /** A keyword, a name or a number; `$` may be inside, so that `a$b$c` opens no dollar quote. */
  #skipWord(): void {
    for (let code = this.#text.charCodeAt(this.#at); isWordStart(code) || isDigit(code) || code === DOLLAR; )
      code = this.#text.charCodeAt(++this.#at);
  }

  /** Up to the same mark again; twice the mark is the mark itself. */
  #skipQuoted(mark: string): void {
    do this.#skipTo(this.#text.indexOf(mark, this.#at + 1), 1);
    while (this.#text[this.#at] === mark);
  }

  #skipEscaped(): void {
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === BACKSLASH) this.#at++;
      else if (code === QUOTE && this.#text.charCodeAt(++this.#at) !== QUOTE) return;
    }
  }

  #skipToken(code: number): void {
    if (code === QUOTE || code === DOUBLE_QUOTE) this.#skipQuoted(code === QUOTE ? "'" : '"');
    else if (code === DOLLAR) this.#skipDollarQuote();
    else if (isDigit(code)) this.#skipWord();
    else this.#at++;
  }

  #skipDollarQuote(): void {
    const mark = this.#match(DOLLAR_QUOTE);
    if (mark === "") this.#at++;
    else this.#skipTo(this.#text.indexOf(mark, this.#at), mark.length);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}

/** `BEGIN ATOMIC … END` of a function holds statements that are not run now; CASE has an END of its own. */
function bodyStep(word: string, previous: string, body: number): number {
  if (body === 0) return word === "ATOMIC" && previous === "BEGIN" ? 1 : 0;
  if (word === "CASE") return 1;
  return word === "END" ? -1 : 0;
}
