/** What a program may ask of a model, by the interface it was written for. The names are those of the API (`ResolvedRoute.protocols`). */
export const PROTOCOLS = [
  "openai_chat_completions",
  "openai_completions",
  "openai_responses",
  "openai_embeddings",
  "anthropic_messages",
  "aws_bedrock_invoke",
  "model_discovery",
] as const;

export type Protocol = (typeof PROTOCOLS)[number];

export function isProtocol(text: string): text is Protocol {
  return (PROTOCOLS as readonly string[]).includes(text);
}

const POSTED: Readonly<Record<string, Protocol>> = {
  "/v1/chat/completions": "openai_chat_completions",
  "/v1/completions": "openai_completions",
  "/v1/responses": "openai_responses",
  "/v1/embeddings": "openai_embeddings",
  "/v1/messages": "anthropic_messages",
};

/** One segment names the model: `/model/<id>/invoke`. */
const BEDROCK = /^\/model\/[^/]+\/invoke(?:-with-response-stream)?$/;
/** The list, or one model; ids of some catalogues have slashes. */
const DISCOVERY = /^\/v1\/models(?:\/.+)?$/;

/** The protocol of a request, by method and canonical path without query; undefined: none that is served, and the request is refused. */
export function protocolOf(method: string, path: string): Protocol | undefined {
  if (method === "GET") return DISCOVERY.test(path) ? "model_discovery" : undefined;
  if (method !== "POST") return undefined;
  if (BEDROCK.test(path)) return "aws_bedrock_invoke";
  return Object.hasOwn(POSTED, path) ? POSTED[path] : undefined;
}
