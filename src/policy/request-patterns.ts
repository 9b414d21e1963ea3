/**
 * Which patterns of request rules can be decided. The rego rules refuse the same ones (`unsupported`), later and in fewer words; a test holds the
 * two together.
 */

/** Stars in one free pattern or one path segment. */
const MAX_STARS = 5;
/** `**` in one path. */
const MAX_DEEP = 3;

/** Why a path of a request rule cannot be used, or undefined. */
export function pathPatternProblem(pattern: string): string | undefined {
  const meta = /[?[\]{}\\]/.exec(pattern)?.[0];
  if (meta === "?") return "must not have ?: a path has no query (write query: {name: pattern})";
  if (meta !== undefined) return `must not have ${meta}: only * (one segment) and ** (one or more) are patterns`;
  const segments = pattern.split("/");
  if (segments.some((segment) => segment !== "**" && segment.includes("**"))) return "may have ** only as a whole segment";
  if (segments.filter((segment) => segment === "**").length > MAX_DEEP) return `may have ** at most ${MAX_DEEP} times`;
  if (segments.some((segment) => segment !== "**" && stars(segment) > MAX_STARS))
    return `may have * at most ${MAX_STARS} times in a segment`;
  return undefined;
}

/** Printable ASCII that keeps its escape, since without it the path would be another one. */
const KEEPS_ESCAPE = new Set("/%?#;\\");
/** Part of the syntax of patterns: the escape is the only way to write them. */
const META = new Set("*?[]{}");
const ESCAPE = /%([0-9A-Fa-f]{2})/g;
const UNRESERVED = /[A-Za-z0-9\-._~]/;

function unescaped(hex: string): string | undefined {
  const character = String.fromCharCode(Number.parseInt(hex, 16));
  return character > " " && character <= "~" && !KEEPS_ESCAPE.has(character) ? character : undefined;
}

/**
 * A canonical path with the escapes of characters that need none taken away. Few servers tell `%40` from `@`, so a path in either spelling is what a deny
 * rule names.
 */
export function plainPath(path: string): string {
  return path.includes("%") ? path.replace(ESCAPE, (escaped, hex: string) => unescaped(hex) ?? escaped) : path;
}

/** Why no request has such a path, or undefined: requests are compared by their canonical path, and a deny rule in another spelling would never fire. */
export function pathSpellingProblem(pattern: string): string | undefined {
  if (/[;#]/.test(pattern)) return "matches no request: paths have no ;parameters and no fragment";
  if (/\/\.{1,2}(?:\/|$)/.test(pattern)) return "matches no request: paths have no dot segments";
  if (/%(?![0-9A-Fa-f]{2})/.test(pattern)) return "has a percent sign that is no escape";
  const encoded = pattern.replace(/[^\x21-\x7e]+/gu, (text) => encodeURIComponent(text.toWellFormed())).replace(/\/{2,}/g, "/");
  const spelled = encoded.replace(ESCAPE, (escaped, hex: string) => {
    const character = unescaped(hex);
    return character !== undefined && UNRESERVED.test(character) ? character : escaped.toUpperCase();
  });
  return spelled === pattern ? undefined : `matches no request: write ${spelled.slice(0, 80)}`;
}

/** Why a deny rule with such a path would miss requests that mean the same, or undefined. */
export function deniedPathProblem(pattern: string): string | undefined {
  const plain = pattern.replace(ESCAPE, (escaped, hex: string) => {
    const character = unescaped(hex);
    return character !== undefined && !META.has(character) ? character : escaped;
  });
  return plain === pattern ? undefined : `leaves out requests without its escapes: write ${plain.slice(0, 80)}, which stands for both`;
}

/** Why a pattern for a value (query, tool, field, operation name, command, path selector) cannot be used, or undefined. */
export function textPatternProblem(pattern: string): string | undefined {
  const meta = /[{}\\]/.exec(pattern)?.[0];
  if (meta !== undefined) return `must not have ${meta}: write alternatives as {any: [pattern, …]}`;
  const [before = "", ...sets] = pattern.split("[");
  const sound = !before.includes("]") && sets.every((part) => part.split("]").length === 2 && soundSet(part.slice(0, part.indexOf("]"))));
  if (!sound) return "has brackets that are no set of characters like [a-z] or [!0-9_]";
  if (stars(pattern) > MAX_STARS) return `may have * at most ${MAX_STARS} times`;
  return undefined;
}

/** Neighbouring stars are one. */
const stars = (text: string) => text.split(/\*+/).length - 1;

function soundSet(content: string): boolean {
  const body = content.startsWith("!") ? content.slice(1) : content;
  if (body === "" || /[*?!^]/.test(body)) return false;
  const parts = body.split("-").map((part) => [...part]);
  if (parts.some((part, i) => part.length < (i > 0 && i < parts.length - 1 ? 2 : 1))) return false;
  return parts.every((part, i) => i === 0 || (parts[i - 1]?.at(-1) ?? "") <= (part[0] ?? ""));
}
