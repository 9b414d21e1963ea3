import type { Protocol } from "../../../inference/protocols.ts";

const TEXT = "This is a canned answer.";
const USAGE = { prompt_tokens: 8, completion_tokens: 6, total_tokens: 14 };

/** What a route with a `mock://` base URL answers: the shape of each protocol with a canned text, and the model that was asked for. */
export function mockAnswer(protocol: Protocol, model: string, streamed: boolean): Response {
  if (streamed) {
    const events = streamOf(protocol, model);
    if (events !== undefined) return new Response(events, { headers: { "content-type": "text/event-stream" } });
  }
  return Response.json(answerOf(protocol, model));
}

function answerOf(protocol: Protocol, model: string): object {
  switch (protocol) {
    case "openai_chat_completions":
      return {
        id: "chatcmpl-mock",
        object: "chat.completion",
        created: 0,
        model,
        choices: [{ index: 0, message: { role: "assistant", content: TEXT }, finish_reason: "stop" }],
        usage: USAGE,
      };
    case "openai_completions":
      return {
        id: "cmpl-mock",
        object: "text_completion",
        created: 0,
        model,
        choices: [{ index: 0, text: TEXT, finish_reason: "stop" }],
        usage: USAGE,
      };
    case "openai_responses":
      return {
        id: "resp_mock",
        object: "response",
        created_at: 0,
        model,
        status: "completed",
        output: [
          {
            id: "msg_mock",
            type: "message",
            role: "assistant",
            status: "completed",
            content: [{ type: "output_text", text: TEXT, annotations: [] }],
          },
        ],
        usage: { input_tokens: 8, output_tokens: 6, total_tokens: 14 },
      };
    case "openai_embeddings":
      return {
        object: "list",
        model,
        data: [{ object: "embedding", index: 0, embedding: [0, 0.5, 1] }],
        usage: { prompt_tokens: 8, total_tokens: 8 },
      };
    case "anthropic_messages":
    case "aws_bedrock_invoke":
      return {
        id: "msg_mock",
        type: "message",
        role: "assistant",
        model,
        content: [{ type: "text", text: TEXT }],
        stop_reason: "end_turn",
        stop_sequence: null,
        usage: { input_tokens: 8, output_tokens: 6 },
      };
    case "model_discovery":
      return { object: "list", data: [{ id: model, object: "model", created: 0, owned_by: "mock" }] };
  }
}

/** Undefined: the protocol has no stream here. */
function streamOf(protocol: Protocol, model: string): string | undefined {
  if (protocol === "openai_chat_completions") {
    const chunk = (choices: object[], more: object = {}) => ({
      id: "chatcmpl-mock",
      object: "chat.completion.chunk",
      created: 0,
      model,
      choices,
      ...more,
    });
    const pieces = TEXT.split(/(?<= )/).map((content) => chunk([{ index: 0, delta: { role: "assistant", content }, finish_reason: null }]));
    const all = [...pieces, chunk([{ index: 0, delta: {}, finish_reason: "stop" }]), chunk([], { usage: USAGE })];
    return `${all.map((data) => `data: ${JSON.stringify(data)}\n\n`).join("")}data: [DONE]\n\n`;
  }
  if (protocol !== "anthropic_messages") return undefined;
  const message = { id: "msg_mock", type: "message", role: "assistant", model, content: [], stop_reason: null, stop_sequence: null };
  const events = [
    { type: "message_start", message: { ...message, usage: { input_tokens: 8, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    ...TEXT.split(/(?<= )/).map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 6 } },
    { type: "message_stop" },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join("");
}
