import type { RpcFacts } from "../../../../engine/decision.ts";
import { knownNames, requireExactNames } from "./known-names.ts";
import { isJsonObject, type Json, type JsonObject, readStrictJson } from "./strict-json.ts";
import { BodyError } from "./unreadable.ts";

/** Messages of one batch; what the rules take at once. Clients batch tens, providers accept about 100. */
export const MAX_RPC_BATCH = 256;

/** A server may read the second as a form or not at all; whoever sends one of these means JSON. */
export const RPC_CONTENT_TYPES: ReadonlySet<string> = new Set(["application/json", "application/json-rpc", "application/jsonrequest"]);

const MESSAGE = knownNames("jsonrpc", "id", "method", "params", "result", "error");
const PARAMS = knownNames("name");

/**
 * Every message of a JSON-RPC body: one object, or a batch. A message is a call (it has a method) or a response (it has a result or an
 * error); what could be either is refused. MCP is JSON-RPC 2.0 and says so in each message.
 * @throws BodyError
 */
export function readRpcBody(body: Uint8Array, protocol: "json-rpc" | "mcp"): readonly RpcFacts[] {
  const value = readStrictJson(body);
  const messages = Array.isArray(value) ? (value as readonly Json[]) : [value as Json];
  if (messages.length === 0) throw new BodyError(400, "rpc_shape", "the batch is empty");
  if (messages.length > MAX_RPC_BATCH)
    throw new BodyError(413, "rpc_batch", `a batch of ${messages.length} messages, at most ${MAX_RPC_BATCH} are accepted`);
  return messages.map((message) => readMessage(message, protocol));
}

function readMessage(message: Json, protocol: "json-rpc" | "mcp"): RpcFacts {
  if (!isJsonObject(message)) throw new BodyError(400, "rpc_shape", "a message is not an object");
  requireExactNames(message, MESSAGE);
  requireVersion(message.get("jsonrpc"), protocol);
  const response = message.has("result") || message.has("error");
  if (!message.has("method")) {
    if (!response) throw new BodyError(400, "rpc_shape", "a message has neither method nor result nor error");
    return { response: true };
  }
  const method = message.get("method");
  if (response) throw new BodyError(400, "rpc_shape", "a message is a call and a response at once");
  if (typeof method !== "string" || method === "") throw new BodyError(400, "rpc_shape", "the method of a call is not a name");
  const name = toolName(message.get("params"));
  return name === undefined ? { method } : { method, name };
}

/** Old servers of plain JSON-RPC are called with 1.0 or without a version. */
function requireVersion(version: Json | undefined, protocol: "json-rpc" | "mcp"): void {
  const fits = version === "2.0" || (protocol === "json-rpc" && (version === undefined || version === "1.0" || version === "1.1"));
  if (!fits) throw new BodyError(400, "rpc_version", `jsonrpc is not "2.0"`);
}

/** Undefined: the call does not say, or not as text. Rules that deny a tool then count. */
function toolName(params: Json | undefined): string | undefined {
  if (!isJsonObject(params)) return undefined;
  requireExactNames(params as JsonObject, PARAMS);
  const name = params.get("name");
  return typeof name === "string" ? name : undefined;
}
