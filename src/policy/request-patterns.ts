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
