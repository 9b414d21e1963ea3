import { emptyEndpoint } from "../policy/defaults.ts";
import type { Dice } from "../policy/dice.test-support.ts";
import type { Policy } from "../policy/model.ts";
import type { ConnectionQuery } from "./decision.ts";

/**
 * The semantics of connection rules once more, slow and without an index: patterns as regular expressions, rules tried one by one. Written from the
 * policy reference alone, so that it shares no mistake with the rego rules.
 */
export function referenceDecision(
  policy: Policy,
  query: ConnectionQuery,
): { allowed: boolean; policy?: string; ids?: string[]; code?: string } {
  const ids: string[] = [];
  const seen = { host: false, port: false };
  for (const [key, rule] of Object.entries(policy.networkPolicies)) {
    for (const [i, endpoint] of rule.endpoints.entries()) {
      if (endpoint.host !== "" && !pattern(endpoint.host, "\\.").test(query.host)) continue;
      seen.host = true;
      if (!endpoint.ports.includes(query.port)) continue;
      seen.port = true;
      const family = (selfOnly: boolean) => (selfOnly ? [query.exe] : [query.exe, ...query.ancestors]);
      const named = (path: string, exe: string) => (path.includes("*") ? pattern(path, "/").test(exe) : path === exe);
      if (rule.binaries.some(({ path, selfOnly }) => family(selfOnly).some((exe) => named(path, exe)))) ids.push(`${key}/${i}`);
    }
  }
  if (ids.length > 0) {
    const order = ids.map((id) => [id.slice(0, id.lastIndexOf("/")), Number(id.slice(id.lastIndexOf("/") + 1))] as const);
    order.sort(([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : i - j));
    return { allowed: true, policy: order[0]?.[0] ?? "", ids: order.map(([key, i]) => `${key}/${i}`) };
  }
  if (seen.port) return { allowed: false, code: "binary_not_allowed" };
  if (seen.host) return { allowed: false, code: "port_not_allowed" };
  return { allowed: false, code: Object.keys(policy.networkPolicies).length === 0 ? "no_policies" : "host_not_allowed" };
}

const patterns = new Map<string, RegExp>();

/** `**` is one or more segments, `*` any characters of one segment. The random policies share few patterns. */
function pattern(text: string, separator: string): RegExp {
  const key = separator + text;
  const known = patterns.get(key) ?? compile(text, separator);
  patterns.set(key, known);
  return known;
}

function compile(text: string, separator: string): RegExp {
  const plain = separator.replace("\\", "");
  const segments = text.split(plain).map((segment) => {
    if (segment === "**") return `[^${separator}]+(?:${separator}[^${separator}]+)*`;
    return segment
      .split("*")
      .map((literal) => literal.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"))
      .join(`[^${separator}]*`);
  });
  return new RegExp(`^${segments.join(separator)}$`);
}

/** Few words, so that random rules and questions meet often. */
const LABELS = ["a", "b", "ab", "x-b", "c"];
const TAILS = ["ex.com", "ab.ex.com", "b.org"];
const HOSTS = [
  ...["*.ex.com", "**.ex.com", "a*.ex.com", "*b.ex.com", "a*b.ex.com", "a.*.ex.com", "**.*.ex.com", "*.ab.ex.com", "**.ab.ex.com"],
  ...["a.ex.com", "ab.ex.com", "a.ab.ex.com", "ex.com", "a.b.org", "10.0.0.1", "2001:db8::1", "*.*.ab.ex.com"],
];
const PATHS = [
  ...["/usr/bin/a", "/usr/bin/b", "/bin/a", "/opt/a/b/c", "/**", "/usr/**", "/usr/*/a", "/usr/bin/*", "/**/a", "/**/bin/*", "/opt/**/c"],
  ...["/usr/b*/a", "/usr/bin/a*b", "/*/a", "/opt/[x]/a", "/*in/a"],
];
const EXES = [
  "/usr/bin/a",
  "/usr/bin/b",
  "/usr/bin/ab",
  "/usr/bin/axb",
  "/bin/a",
  "/opt/a/b/c",
  "/opt/c",
  "/usr/lib/x/a",
  "/a",
  "/opt/[x]/a",
  "/usr/a",
  "/x/bin/y",
];
const PORTS = [80, 443, 8443];

/** A random policy of plain connections. */
export function randomPolicy(dice: Dice): Policy {
  const rule = (key: string) => ({
    name: key,
    endpoints: dice.some(3, () => {
      const hostless = dice.below(12) === 0;
      const ports = [...new Set([dice.pick(PORTS), dice.pick(PORTS)])];
      return { ...emptyEndpoint, host: hostless ? "" : dice.pick(HOSTS), ports, allowedIps: ["10.0.0.0/16"] };
    }),
    binaries: dice.some(3, () => ({ path: dice.pick(PATHS), selfOnly: dice.below(2) === 0 })),
  });
  const keys = dice.some(6, () => dice.pick(["r", "s", "a/1", "a", "B", "é", "1", "10", "2"]));
  return { version: 1, networkPolicies: Object.fromEntries([...new Set(keys)].map((key) => [key, rule(key)])) };
}

export function randomQuery(dice: Dice): ConnectionQuery {
  const name = [...dice.some(2, () => dice.pick(LABELS)), dice.pick(TAILS)].join(".");
  const host = dice.below(8) === 0 ? dice.pick(["10.0.0.1", "2001:db8::1", "ex.com"]) : name;
  return { host, port: dice.pick(PORTS), exe: dice.pick(EXES), ancestors: dice.some(3, () => dice.pick(EXES)) };
}
