import type { Policy } from "../policy/model.ts";
import type { RequestCode, RequestDecision, RequestQuery } from "./decision.ts";
import { type Explanation, explainConnection } from "./explain.ts";
import { inspectionOf } from "./inspection.ts";
import { PolicyEngine, type PolicyEngineOptions } from "./policy-engine.ts";
import { requestName } from "./request-reason.ts";

/** Why a request is allowed, let through with a log entry, or refused. */
export interface RequestExplanation {
  readonly connection: Explanation;
  /** Absent when the connection itself is refused. */
  readonly request?: RequestDecision;
  /** Sentences for people, the answer first. */
  readonly lines: readonly string[];
}

/**
 * Decides one request under a policy and says why.
 * @throws OpenShellError when the policy is invalid.
 */
export function explainRequest(policy: Policy, query: RequestQuery, options: PolicyEngineOptions = {}): RequestExplanation {
  const connection = explainConnection(policy, query, options);
  if (!connection.decision.allowed) return { connection, lines: connection.lines };
  const engine = new PolicyEngine(options);
  engine.load(policy);
  const request = engine.decideRequest(query);
  const { method, path } = requestName(query.request);
  const what = path === "" ? method : `${method} ${path}`;
  const below = connection.lines.slice(1);
  const { inspected } = inspectionOf(connection.decision);
  if (request.action === "allow") {
    const by = inspected
      ? `allowed: ${what} by endpoint ${request.endpointId}`
      : `allowed: ${what}, because requests to this host are not inspected (endpoint ${request.endpointId} has no protocol with rules)`;
    return { connection, request, lines: [by, ...below] };
  }
  const answer =
    request.action === "audit" ? `let through and logged (enforcement: audit): ${request.reason}` : `not allowed: ${request.reason}`;
  return { connection, request, lines: [answer, hint(request.code, request, method, path), ...below] };
}

function hint(code: RequestCode | undefined, { endpointId, endpoint, needs }: RequestDecision, method: string, path: string): string {
  switch (code) {
    case "request_denied":
      return `a deny rule of endpoint ${endpointId} names it: no allow rule overrides that`;
    case "request_not_allowed":
      return endpoint?.access
        ? `endpoint ${endpointId} has access: ${endpoint.access}, which does not cover it`
        : `no rule of endpoint ${endpointId} covers it: add {allow: {method: ${method}, path: ${path}}} to its rules`;
    case "path_not_covered":
      return `the path selectors of all endpoints (the first is ${endpointId}: ${endpoint?.path || "another protocol"}) leave it out`;
    case "encoded_slash":
      return `set allow_encoded_slash: true on endpoint ${endpointId} if its server tells %2F from /`;
    case "body_needed":
      return `endpoint ${endpointId} speaks ${needs?.protocol}: what the body asks for decides`;
    case "protocol_ambiguous":
      return "several endpoints match through the program and its parents: give them one protocol, or path selectors that tell them apart";
    default:
      return "paths start with / and are written as they are forwarded: no //, no . or .. segments, %2F in upper case";
  }
}
