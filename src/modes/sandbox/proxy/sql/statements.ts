/** Statements of one query that are told of one by one; scripts have tens. */
export const MAX_STATEMENTS = 256;
/** No command has a longer first word. */
const MAX_COMMAND = 32;
/** The first word of what has none. */
const NO_WORD = "UNKNOWN";

const BLANKS = /\s+/y;
const LINE_COMMENT = /--[^\n]*/y;
/** An identifier or keyword; `$` may be inside, so that `a$b$c` opens no dollar quote. */
const WORD = /[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*/y;
const NUMBER = /\d[\w.]*/y;
const DOLLAR_QUOTE = /\$(?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$/y;
const STRING = /'(?:[^']|'')*'?/y;
const ESCAPE_STRING = /'(?:[^'\\]|''|\\[^])*'?/y;
const QUOTED_NAME = /"(?:[^"]|"")*"?/y;

/**
 * The commands of a query text as PostgreSQL separates them: the first word of each statement, in upper case. Semicolons in strings, quoted names,
 * dollar quotes, comments, parentheses and SQL-standard function bodies separate nothing. Strings are read with `standard_conforming_strings`.
 */
export function commandsOf(text: string): { readonly commands: readonly string[]; readonly more: boolean } {
  const scanner = new StatementScanner(text);
  const commands: string[] = [];
  for (let command = scanner.next(); command !== undefined; command = scanner.next()) {
    if (commands.length === MAX_STATEMENTS) return { commands, more: true };
    commands.push(command.length > MAX_COMMAND ? NO_WORD : command);
  }
  return { commands, more: false };
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
      if (this.#skipBlank()) continue;
      const word = this.#match(WORD).toUpperCase();
      if (word !== "") {
        command ??= word;
        if (word === "E" && this.#text[this.#at] === "'") this.#match(ESCAPE_STRING);
        if (command === "CREATE") body += bodyStep(word, previous, body);
        previous = word;
        continue;
      }
      const character = this.#text[this.#at] ?? "";
      if (character === ";" && parentheses === 0 && body === 0) {
        this.#at++;
        if (command !== undefined) return command;
        continue;
      }
      if (character === "(") parentheses++;
      else if (character === ")") parentheses = Math.max(0, parentheses - 1);
      else if (character !== ";") command ??= NO_WORD;
      previous = "";
      this.#skipToken(character);
    }
    return command;
  }

  #skipBlank(): boolean {
    if (this.#match(BLANKS) !== "" || this.#match(LINE_COMMENT) !== "") return true;
    if (!this.#text.startsWith("/*", this.#at)) return false;
    this.#skipComment();
    return true;
  }

  /** Comments contain comments. */
  #skipComment(): void {
    let depth = 0;
    const mark = /\/\*|\*\//g;
    mark.lastIndex = this.#at;
    for (let found = mark.exec(this.#text); found !== null; found = mark.exec(this.#text)) {
      depth += found[0] === "/*" ? 1 : -1;
      if (depth > 0) continue;
      this.#at = mark.lastIndex;
      return;
    }
    this.#at = this.#text.length;
  }

  #skipToken(character: string): void {
    if (character === "'") this.#match(STRING);
    else if (character === '"') this.#match(QUOTED_NAME);
    else if (character === "$") this.#skipDollarQuote();
    else if (this.#match(NUMBER) === "") this.#at++;
  }

  #skipDollarQuote(): void {
    const mark = this.#match(DOLLAR_QUOTE);
    if (mark === "") {
      this.#at++;
      return;
    }
    const end = this.#text.indexOf(mark, this.#at);
    this.#at = end < 0 ? this.#text.length : end + mark.length;
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
