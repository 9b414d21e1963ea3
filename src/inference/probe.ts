import type { Protocol } from "./protocols.ts";
import type { InferenceRoute } from "./route.ts";

/** The smallest question of a protocol. */
export interface Probe {
  readonly protocol: Protocol;
  readonly path: string;
  readonly body: object;
}

/**
 * Questions that show whether a route works, in the order to try them: what a model does not understand (400, 404), another may. They cost a
 * token or two.
 */
export function probes({ protocols, model }: Pick<InferenceRoute, "protocols" | "model">): readonly Probe[] {
  const messages = [{ role: "user", content: "ping" }];
  const all: readonly Probe[] = [
    { protocol: "openai_chat_completions", path: "/v1/chat/completions", body: { model, messages, max_tokens: 1 } },
    // Models that reason take the newer name alone.
    { protocol: "openai_chat_completions", path: "/v1/chat/completions", body: { model, messages, max_completion_tokens: 16 } },
    { protocol: "openai_responses", path: "/v1/responses", body: { model, input: "ping", max_output_tokens: 16 } },
    { protocol: "openai_completions", path: "/v1/completions", body: { model, prompt: "ping", max_tokens: 1 } },
    { protocol: "openai_embeddings", path: "/v1/embeddings", body: { model, input: "ping" } },
    { protocol: "anthropic_messages", path: "/v1/messages", body: { model, messages, max_tokens: 1 } },
    {
      protocol: "aws_bedrock_invoke",
      path: "/model/-/invoke",
      body: { anthropic_version: "bedrock-2023-05-31", messages, max_tokens: 1 },
    },
  ];
  return all.filter(({ protocol }) => protocols.includes(protocol));
}
