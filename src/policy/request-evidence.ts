import type { Endpoint, RequestRule } from "./model.ts";
import { isExplainedBy, type ObservedRequest } from "./request-template.ts";
import { hasGraphqlFields } from "./validate-rules.ts";

/** Methods that a proposal may name; `*` would allow what nobody saw. WEBSOCKET_TEXT: messages of a WebSocket. */
export const PROPOSABLE_METHODS: ReadonlySet<string> = new Set([
  ...["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"],
  "WEBSOCKET_TEXT",
]);

/**
 * How a request is named that this rule is about; where the rule is about operations or calls, in words (`mutation addStar`,
 * `tools/call search`). Undefined for a rule that says something that is never observed.
 */
export function observedAs(protocol: string, rule: RequestRule): ObservedRequest | undefined {
  if (rule.command !== "" || rule.operationName !== "" || Object.keys(rule.query).length > 0) return undefined;
  const tool = toolOf(rule);
  if (tool === undefined) return undefined;
  if (hasGraphqlFields(rule)) {
    const words = [rule.operationType, ...rule.fields];
    return rule.method === "" && rule.path === "" && rule.fields.length > 0 ? { method: words.join(" "), path: "" } : undefined;
  }
  if (protocol === "rest" || protocol === "websocket")
    return PROPOSABLE_METHODS.has(rule.method) && rule.path !== "" ? { method: rule.method, path: rule.path } : undefined;
  if (protocol === "json-rpc" || protocol === "mcp")
    return rule.path === "" && rule.method !== "" ? { method: tool === "" ? rule.method : `${rule.method} ${tool}`, path: "" } : undefined;
  return undefined;
}

/** The tool that a rule is about, empty for none; undefined when it says more than one name. */
function toolOf({ params }: RequestRule): string | undefined {
  const { name, ...others } = params;
  if (Object.keys(others).length > 0) return undefined;
  if (name === undefined) return "";
  return "glob" in name ? name.glob : undefined;
}

/** The rules of an endpoint that requests do not explain: they would allow what nobody asked for. */
export function unexplained(
  { protocol, rules }: Pick<Endpoint, "protocol" | "rules">,
  requests: readonly ObservedRequest[],
): RequestRule[] {
  return rules.filter((rule) => {
    const wanted = observedAs(protocol, rule);
    if (wanted === undefined) return true;
    return wanted.path === "" ? !requests.some(({ method }) => method === wanted.method) : !isExplainedBy(wanted, requests);
  });
}
