import type { Answer } from "./answer.ts";
import type { ConnectionQuery } from "./decision.ts";

/** Rules and ports named in one reason; more would make a log line unreadable. */
const NAMED_AT_MOST = 5;

const some = (items: readonly string[]) =>
  items.length <= NAMED_AT_MOST ? items.join(", ") : `${items.slice(0, NAMED_AT_MOST).join(", ")} and ${items.length - NAMED_AT_MOST} more`;

/** Why a connection is refused, for people. The strings of the query are data: whoever prints this escapes control characters. */
export function refusalReason(answer: Answer & { allow: false }, query: ConnectionQuery): string {
  const endpoint = `endpoint ${query.host.includes(":") ? `[${query.host}]` : query.host}:${query.port}`;
  switch (answer.code) {
    case "malformed":
      return "the connection request is malformed";
    case "engine_failure":
      return "the policy engine could not decide";
    case "no_policies":
      return "network connections are not allowed by the policy";
    case "host_not_allowed":
      return `${endpoint} is not allowed by any policy`;
    case "port_not_allowed":
      return `${endpoint} is not allowed by any policy (allowed ports of this host: ${some(answer.ports.map(String))})`;
    case "binary_not_allowed": {
      if ("own" in answer) return `binary '${query.exe}' is OpenShell itself, which no rule may match`;
      const chain = query.ancestors.length === 0 ? "" : ` (ancestors: ${some(query.ancestors)})`;
      const quoted = answer.rules.map((rule) => `'${rule}'`);
      return `binary '${query.exe}' not allowed in ${quoted.length === 1 ? "policy" : "policies"} ${some(quoted)}${chain}`;
    }
  }
}
