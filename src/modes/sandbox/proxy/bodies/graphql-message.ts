import type { GraphqlFacts } from "../../../../engine/decision.ts";
import { readGraphqlRequest } from "./graphql.ts";
import { knownNames, requireExactNames } from "./known-names.ts";
import { isJsonObject, readStrictJsonText } from "./strict-json.ts";
import { BodyError } from "./unreadable.ts";

const MESSAGE = knownNames("type", "id", "payload");
/** Of `graphql-transport-ws` and of the older `graphql-ws`: they ask for nothing. */
const CONTROL: ReadonlySet<string> = new Set(["connection_init", "connection_terminate", "ping", "pong", "complete", "stop"]);
const OPERATION: ReadonlySet<string> = new Set(["subscribe", "start"]);

/**
 * The operations that a text message of GraphQL over WebSocket asks for; none for its control messages. Undefined: it is another message.
 * @throws BodyError when it is no JSON, or asks for what cannot be read
 */
export function readGraphqlMessage(text: string): readonly GraphqlFacts[] | undefined {
  const message = readStrictJsonText(text);
  if (!isJsonObject(message)) return undefined;
  requireExactNames(message, MESSAGE);
  const type = message.get("type");
  if (typeof type !== "string") return undefined;
  if (CONTROL.has(type)) return [];
  if (!OPERATION.has(type)) return undefined;
  const payload = message.get("payload");
  if (payload === undefined) throw new BodyError(400, "graphql_shape", `a message '${type}' without payload`);
  return readGraphqlRequest(payload);
}
