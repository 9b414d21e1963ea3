/**
 * How observed requests become request rules. A path is taken as it was seen; a segment is left open (`*`) only when it is an id, or when many
 * values were seen in its place. Both sides work with this: the sandbox to propose, the gateway to refuse what nobody asked for.
 */

/** One request as it was seen. Where rules are about operations instead of methods, `method` names the operation (`mutation addStar`). */
export interface ObservedRequest {
  readonly method: string;
  /** Canonical, without query; segments that could be secrets are masked. */
  readonly path: string;
}

/** What stands in the place of a segment that could be a secret. */
export const MASKED_SEGMENT = "[REDACTED]";

/** Distinct values in one place, all else equal, from which on the place is open: fewer are written one by one. */
const MANY_VALUES = 4;
/** Shorter hexadecimal words may be words (`face`, `decade`). */
const HEX_ID = /^[0-9a-fA-F]{16,}$/;
const PATTERN = /[*?[\]{}\\]/;
const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** Whether a segment names one of many things: digits, a UUID, long hexadecimal, or what was masked. */
export function isId(segment: string): boolean {
  return /^[0-9]+$/.test(segment) || UUID.test(segment) || HEX_ID.test(segment) || segment === MASKED_SEGMENT;
}

/** A template for every request, in their order. At least one segment of each stays as it was seen, where there is one that is no id. */
export function templatesOf(requests: readonly ObservedRequest[]): ObservedRequest[] {
  const open = requests.map(({ method, path }) => ({ method, segments: withoutIds(path.split("/")) }));
  const longest = Math.max(0, ...open.map(({ segments }) => segments.length));
  for (let place = 1; place < longest; place++) {
    const alike = Map.groupBy(
      open.filter(({ segments }) => segments[place] !== undefined && hasFixed(segments, place)),
      ({ method, segments }) => JSON.stringify([method, segments.with(place, "*")]),
    );
    for (const group of alike.values()) {
      if (new Set(group.map(({ segments }) => segments[place])).size < MANY_VALUES) continue;
      for (const one of group) one.segments[place] = "*";
    }
  }
  return open.map(({ method, segments }) => ({ method, path: segments.join("/") }));
}

function withoutIds(seen: readonly string[]): string[] {
  const open = seen.map((segment) => (isId(segment) ? "*" : segment));
  return hasFixed(open, 0) ? open : [...seen];
}

/** Whether something stays fixed when this place is open. */
function hasFixed(segments: readonly string[], place: number): boolean {
  return segments.some((segment, i) => i !== place && segment !== "" && segment !== "*");
}

/** Whether a template says no more than these requests do: some match it, and they explain every place that it leaves open. */
export function isExplainedBy(template: ObservedRequest, requests: readonly ObservedRequest[]): boolean {
  const wanted = template.path.split("/");
  // A request may spell a pattern; a rule with it would say more than that.
  if (wanted.some((segment) => segment !== "*" && PATTERN.test(segment))) return false;
  const matching = requests
    .filter(({ method }) => method === template.method)
    .map(({ path }) => path.split("/"))
    .filter((seen) => seen.length === wanted.length && wanted.every((segment, i) => segment === "*" || segment === seen[i]));
  if (matching.length === 0 || (wanted.includes("*") && !hasFixed(wanted, 0))) return false;
  return wanted.every((segment, i) => {
    if (segment !== "*") return true;
    const values = new Set(matching.map((seen) => seen[i] ?? ""));
    return values.size >= MANY_VALUES || [...values].some(isId);
  });
}
