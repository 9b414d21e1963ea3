/** The body with the route's model, or why it has none that every reader would agree on. */
export type Overridden = { readonly body: string } | { readonly problem: string };

/**
 * Puts `model` into a JSON object, in the place where the program named another one, and changes no other byte: numbers that JavaScript
 * cannot hold pass as they are. Two members that some reader takes for the model (the same name twice, or in other case, which Go accepts)
 * are a problem: which one counts would be the server's choice.
 */
export function overrideModel(text: string, model: string): Overridden {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { problem: "the body is not JSON" };
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return { problem: "the body is not a JSON object" };
  const named = [...members(text)].filter(({ name }) => name.toLowerCase() === "model");
  const [first, second] = named;
  if (second !== undefined || (first !== undefined && first.name !== "model"))
    return { problem: "the body names the model more than once, or in other letters than 'model'" };
  const value = JSON.stringify(model);
  if (first !== undefined) return { body: text.slice(0, first.start) + value + text.slice(first.end) };
  const open = text.indexOf("{") + 1;
  const separator = Object.keys(parsed).length === 0 ? "" : ",";
  return { body: `${text.slice(0, open)}"model":${value}${separator}${text.slice(open)}` };
}

interface Member {
  readonly name: string;
  /** Of the value in the text. */
  readonly start: number;
  readonly end: number;
}

/** The members of the outermost object of a valid JSON text, in order, repeated ones too. */
function* members(text: string): Generator<Member> {
  let at = text.indexOf("{") + 1;
  for (;;) {
    at = skip(text, at, " \t\r\n,");
    if (text[at] !== '"') return;
    const nameEnd = endOfString(text, at);
    const name = JSON.parse(text.slice(at, nameEnd)) as string;
    const start = skip(text, nameEnd, " \t\r\n:");
    at = endOfValue(text, start);
    yield { name, start, end: at };
  }
}

function skip(text: string, from: number, characters: string): number {
  let at = from;
  while (at < text.length && characters.includes(text.charAt(at))) at++;
  return at;
}

/** Behind the closing quote. */
function endOfString(text: string, open: number): number {
  let at = open + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function endOfValue(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return endOfString(text, start);
  if (first !== "{" && first !== "[") {
    let at = start;
    while (!",}] \t\r\n".includes(text.charAt(at))) at++;
    return at;
  }
  let depth = 0;
  for (let at = start; ; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at) - 1;
    else if (character === "{" || character === "[") depth++;
    else if ((character === "}" || character === "]") && --depth === 0) return at + 1;
  }
}
