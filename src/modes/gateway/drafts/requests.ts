import type { Endpoint, Matcher, RequestRule } from "../../../policy/model.ts";

/** Said of everything that lets any request through, however harmless what was seen so far (threat 18). */
export const ANY_REQUEST = "ANY request, uploads included";

/** Request patterns named one by one; more than a sentence holds are counted, the rule itself shows them. */
const MAX_NAMED_PATTERNS = 6;

const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/** Whether an endpoint inspects requests and refuses those that no rule allows. */
export function isEnforced(endpoint: Endpoint): boolean {
  return endpoint.protocol !== "" && endpoint.protocol !== "tcp" && endpoint.enforcement === "enforce";
}

/** Whether some request that changes or uploads something gets through. Only an enforced endpoint can prevent it. */
export function allowsWrites(endpoint: Endpoint): boolean {
  if (!isEnforced(endpoint)) return true;
  if (endpoint.access !== "") return endpoint.access !== "read-only";
  if (endpoint.protocol === "graphql") return endpoint.rules.some((rule) => rule.operationType !== "query");
  if (endpoint.protocol !== "rest") return true;
  return endpoint.rules.some((rule) => !READING.has(rule.method.toUpperCase()));
}

/** What an endpoint lets through, in words. */
export function describeRequests(endpoint: Endpoint): string {
  if (endpoint.tls === "skip") return `${ANY_REQUEST}, encrypted and unseen`;
  if (endpoint.protocol === "" || endpoint.protocol === "tcp") return ANY_REQUEST;
  if (!isEnforced(endpoint)) return `${ANY_REQUEST} (each is logged, none is refused)`;
  const exceptions = endpoint.denyRules.length > 0 ? `, except ${named(endpoint.denyRules)}` : "";
  if (endpoint.access === "full") return `${ANY_REQUEST}${exceptions}`;
  if (endpoint.access === "read-only") return `reading only (${readOnlyWords(endpoint)})${exceptions}`;
  if (endpoint.access === "read-write") return `reading and writing, uploads included (${readWriteWords(endpoint)})${exceptions}`;
  if (endpoint.rules.length === 0) return `${endpoint.protocol} requests as the rule says${exceptions}`;
  return `only ${named(endpoint.rules)}${exceptions}`;
}

function readOnlyWords(endpoint: Endpoint): string {
  return endpoint.protocol === "graphql" ? "queries" : "GET, HEAD, OPTIONS";
}

function readWriteWords(endpoint: Endpoint): string {
  if (endpoint.protocol === "graphql") return "queries and mutations";
  return endpoint.protocol === "websocket" ? "messages both ways" : "also POST, PUT, PATCH, not DELETE";
}

function named(rules: readonly RequestRule[]): string {
  const patterns = rules.slice(0, MAX_NAMED_PATTERNS).map(pattern);
  const more = rules.length - patterns.length;
  return more > 0 ? `${patterns.join(", ")} and ${more} more request patterns` : patterns.join(", ");
}

/** One value is said; of patterns and lists that there are some, the rule itself shows them. */
function limit([name, matcher]: [string, Matcher]): string {
  return "glob" in matcher && !/[*?[]/.test(matcher.glob) ? `${name} '${matcher.glob}'` : `a matching ${name}`;
}

function pattern(rule: RequestRule): string {
  const what = [
    rule.method === "*" ? "any method" : rule.method,
    rule.path,
    rule.command,
    rule.operationType,
    rule.operationName,
    rule.fields.join(" "),
  ];
  const words = what.filter((word) => word !== "").join(" ");
  const limits = [...Object.entries(rule.query), ...Object.entries(rule.params)].map(limit);
  return `${words || "every request"}${limits.length > 0 ? ` with ${limits.join(" and ")}` : ""}`;
}
