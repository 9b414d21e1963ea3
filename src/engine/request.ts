import { OpenShellError } from "../error.ts";
import type { Endpoint } from "../policy/model.ts";
import { plainPath } from "../policy/request-patterns.ts";
import type { Decision, MatchedEndpoint, RequestDecision, RequestQuery } from "./decision.ts";
import { type RequestAnswer, readRequestAnswer } from "./request-answer.ts";
import { requestReason, ruleMissing } from "./request-reason.ts";

/** Bytes of a body that is parsed, where the endpoint names none. */
export const DEFAULT_BODY_BYTES = 65_536;

type Allowed = Extract<Decision, { allowed: true }>;

/**
 * Asks the rules about one request of an allowed connection and completes their answer. What servers may read in another way (a path with escapes that
 * it could do without, a query with semicolons) is asked about in that way too: what deny rules say of that holds for it.
 * @throws OpenShellError when the rules fail.
 */
export function evaluateRequest(query: RequestQuery, connection: Allowed, ask: (input: object) => unknown): RequestDecision {
  const { request } = query;
  if (request.kind === "sql") return evaluate(query, request, connection, ask);
  const { splitQuery, ...plainQuery } = request;
  const path = plainPath(request.path);
  const decision = evaluate(query, path === request.path ? plainQuery : { ...plainQuery, plain: path }, connection, ask);
  if (decision.action === "deny") return decision;
  for (const { other, differs } of [
    { other: { path }, differs: path !== request.path },
    { other: { query: splitQuery }, differs: splitQuery !== undefined },
    { other: { path, query: splitQuery }, differs: path !== request.path && splitQuery !== undefined },
  ]) {
    if (!differs) continue;
    const read = evaluate(query, { ...plainQuery, ...other }, connection, ask);
    if (read.code === "request_denied") return read;
  }
  return decision;
}

/** `asked`: the request as the rules take it. */
function evaluate(query: RequestQuery, asked: object, connection: Allowed, ask: (input: object) => unknown): RequestDecision {
  const { generation } = connection;
  const input = { endpoints: connection.endpoints.map(({ id }) => endpointRef(id)), request: asked };
  const answer = readRequestAnswer(ask(input));
  if (answer === undefined) throw new OpenShellError("internal", "the rules gave no answer of a known shape");
  if (!("endpoint" in answer)) {
    const reason = answer.code === "malformed" ? "the request is malformed" : "the policy engine could not decide";
    return { action: "deny", code: answer.code, reason, generation };
  }
  const { id, endpoint } = named(answer, connection.endpoints);
  const [policy] = endpointRef(id);
  const about = { policy, endpointId: id, endpoint, generation };
  if (answer.action === "allow") return { action: "allow", reason: "", ...about };
  const { action, code } = answer;
  return {
    action,
    code,
    reason: requestReason(code, query.request, policy),
    ...about,
    ...(code === "body_needed" && { needs: needs(endpoint) }),
    ...((code === "request_not_allowed" || code === "path_not_covered") && { ruleMissing: ruleMissing(query, endpoint.protocol) }),
  };
}

/** A rule key may hold slashes, the index not. */
function endpointRef(id: string): [string, number] {
  const at = id.lastIndexOf("/");
  return [id.slice(0, at), Number(id.slice(at + 1))];
}

function named(
  { endpoint: [rule, index] }: Extract<RequestAnswer, { endpoint: unknown }>,
  all: readonly MatchedEndpoint[],
): MatchedEndpoint {
  const found = all.find(({ id }) => id === `${rule}/${index}`);
  if (found === undefined)
    throw new OpenShellError("internal", `the rules named an endpoint that the connection does not match: ${rule}/${index}`);
  return found;
}

function needs(endpoint: Endpoint): NonNullable<RequestDecision["needs"]> {
  switch (endpoint.protocol) {
    case "graphql":
      return { protocol: "graphql", maxBodyBytes: endpoint.graphqlMaxBodyBytes || DEFAULT_BODY_BYTES };
    case "json-rpc":
    case "mcp":
      return { protocol: endpoint.protocol, maxBodyBytes: endpoint.jsonRpcMaxBodyBytes || DEFAULT_BODY_BYTES };
    default:
      throw new OpenShellError("internal", `the rules want the body of a request that ${endpoint.protocol} does not have`);
  }
}
