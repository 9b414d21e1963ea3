import { hasTrace } from "../../credentials/placeholder.ts";
import { METHOD_FIELDS, PATH_FIELDS } from "../inspect/override.ts";
import { HOP_BY_HOP } from "./hop-by-hop.ts";

/**
 * Fields that come too late behind a body (RFC 9110 section 6.5.1): they say how a message is framed, where it goes, who asks, or how its content is
 * read. A server that puts trailers among the other fields would take the request for another than the one that was decided on.
 */
const NEVER_BEHIND: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...METHOD_FIELDS,
  ...PATH_FIELDS,
  ...["content-length", "transfer-encoding", "host", "trailer", "expect", "max-forwards"],
  ...["authorization", "cookie", "content-type", "content-encoding", "content-range"],
]);

/** Why a trailer field of a request is not passed on; undefined: it is. Placeholders are replaced in heads alone, so none may stand here. */
export function requestTrailerProblem(lower: string, value: string): string | undefined {
  // CGI and its heirs read underscores as dashes.
  if (NEVER_BEHIND.has(lower.replaceAll("_", "-"))) return `${lower} as a trailer`;
  return hasTrace(lower) || hasTrace(value) ? "a placeholder as a trailer" : undefined;
}
