import type { RequestCode, RequestFacts, RequestQuery, RuleMissing } from "./decision.ts";

/** What a request is called in reasons and refusals: method and path, as in logs. */
export function requestName(facts: RequestFacts): { readonly method: string; readonly path: string } {
  switch (facts.kind) {
    case "http":
      return { method: facts.method.toUpperCase(), path: facts.path };
    case "websocket_text":
      return { method: "WEBSOCKET_TEXT", path: facts.path };
    case "sql":
      return { method: facts.command.toUpperCase(), path: "" };
  }
}

/** Why a request is not plainly allowed, for people. Its strings are data: whoever prints this escapes control characters. */
export function requestReason(code: RequestCode, facts: RequestFacts, policy: string): string {
  const { method, path } = requestName(facts);
  const what = `${path === "" ? method : `${method} ${path}`}${asked(facts)}`;
  switch (code) {
    case "path_not_covered":
      return `${what} is not covered by any endpoint of this host, nearest policy '${policy}'`;
    case "protocol_ambiguous":
      return `${what} matches endpoints of different protocols, first in policy '${policy}'`;
    case "request_denied":
      return `${what} blocked by deny rule of policy '${policy}'`;
    case "encoded_slash":
      return `${what} has an encoded slash (%2F), which policy '${policy}' does not accept`;
    case "body_needed":
      return `${what} is decided by its body under policy '${policy}'`;
    default:
      return `${what} not permitted by policy '${policy}'`;
  }
}

/** Operations and calls named in one reason; more would make a log line unreadable. */
const NAMED_AT_MOST = 3;

function asked(facts: RequestFacts): string {
  if (facts.kind === "sql") return "";
  if (facts.kind === "http" && facts.upgrade !== "") return ` (upgrade to ${facts.upgrade})`;
  const operations = (facts.graphql ?? []).map((operation) =>
    "persisted" in operation ? `persisted ${operation.persisted}` : `${operation.type} ${operation.fields.join("+")}`,
  );
  const calls = (facts.kind === "http" ? (facts.rpc ?? []) : []).map((call) =>
    "response" in call ? "response" : call.name === undefined ? call.method : `${call.method} ${call.name}`,
  );
  const all = [...operations, ...calls];
  if (all.length === 0) return "";
  const more = all.length > NAMED_AT_MOST ? ` and ${all.length - NAMED_AT_MOST} more` : "";
  return ` (${all.slice(0, NAMED_AT_MOST).join(", ")}${more})`;
}

/** The rule that would have to exist, for the body of the refusal. */
export function ruleMissing({ request, host, port, exe }: RequestQuery, protocol: string): RuleMissing {
  return { type: `${protocol.replace("-", "_")}_allow`, layer: "l7", ...requestName(request), host, port, binary: exe };
}
