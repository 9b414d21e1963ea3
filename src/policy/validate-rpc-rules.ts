import type { Violation } from "../error.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Endpoint, Matcher, RequestRule } from "./model.ts";

const TOOL_CALL = "tools/call";

/** Rules of json-rpc and mcp endpoints, whose methods are names in the request body. */
export function* validateRpcRules(endpoint: Endpoint, at: Path): Generator<Violation> {
  const field = fieldPath(at);
  const { protocol, rules, denyRules } = endpoint;
  const allowAll = endpoint.mcp?.allowAllKnownMcpMethods === true;
  if (endpoint.access !== "") yield { field: `${field}.access`, message: `does not apply to protocol ${protocol}: write rules` };
  if (rules.length === 0 && !(protocol === "mcp" && allowAll)) {
    yield {
      field: `${field}.rules`,
      message: protocol === "mcp" ? "protocol mcp needs rules or mcp.allow_all_known_mcp_methods" : "protocol json-rpc needs rules",
    };
  }
  const validate = protocol === "mcp" ? validateMcpRule : validateJsonRpcRule;
  for (const [i, rule] of rules.entries()) yield* validate(rule, endpoint, [...at, "rules", i, "allow"]);
  for (const [i, rule] of denyRules.entries()) yield* validate(rule, endpoint, [...at, "deny_rules", i]);
  if (protocol === "mcp" && rules.some(hasTool)) {
    for (const [i, rule] of rules.entries()) {
      if (!hasTool(rule) && methodMatches(rule.method, TOOL_CALL)) {
        yield {
          field: `${field}.rules[${i}].allow.method`,
          message: "allows every tool, which makes the rules for single tools pointless",
        };
      }
    }
  }
}

function* validateJsonRpcRule(rule: RequestRule, _: Endpoint, at: Path): Generator<Violation> {
  if (rule.method === "") yield { field: fieldPath([...at, "method"]), message: "is missing" };
  else if (rule.method.includes("*") && rule.method !== "*") {
    yield { field: fieldPath([...at, "method"]), message: "must be an exact name or *" };
  }
}

function* validateMcpRule(rule: RequestRule, endpoint: Endpoint, at: Path): Generator<Violation> {
  const allowAll = endpoint.mcp?.allowAllKnownMcpMethods === true;
  const { method } = rule;
  if (method === "" && !(allowAll && hasTool(rule))) yield { field: fieldPath([...at, "method"]), message: "is missing" };
  if (/[*?[]/.test(method) && !/^tools\//.test(method) && !(method === "*" && allowAll)) {
    yield { field: fieldPath([...at, "method"]), message: "may have * only inside tools/" };
  }
  for (const name of Object.keys(rule.params)) {
    if (name !== "name")
      yield { field: fieldPath([...at, "params", name]), message: "is not supported: only params.name (the tool) can be matched" };
  }
  const { name: tool } = rule.params;
  if (tool === undefined) return;
  if (method !== "" && method !== TOOL_CALL && !allowAll)
    yield { field: fieldPath([...at, "method"]), message: `must be ${TOOL_CALL} in a rule for a tool` };
  if (endpoint.mcp?.strictToolNames === false && globs(tool).some((glob) => /[*?[\]{}]/.test(glob))) {
    yield { field: fieldPath([...at, "tool"]), message: "patterns of tool names need strict_tool_names" };
  }
}

const hasTool = (rule: RequestRule) => rule.params["name"] !== undefined;
const globs = (matcher: Matcher) => ("glob" in matcher ? [matcher.glob] : matcher.any);

function methodMatches(pattern: string, method: string): boolean {
  if (!pattern.includes("*")) return pattern === method;
  // Only the question whether a pattern of one or more stars covers one fixed name: conservative for everything else.
  const parts = pattern.split(/\*+/);
  const [head = "", tail = ""] = [parts[0], parts.at(-1)];
  return method.startsWith(head) && method.endsWith(tail);
}
