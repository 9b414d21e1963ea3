import { expect, test } from "bun:test";
import { MAX_READ_FOR_USAGE, UsageReader } from "./usage.ts";

/** Read in pieces of a few bytes, as it may come. */
function usageOf(text: string, streamed: boolean, piece = 7) {
  const reader = new UsageReader(streamed);
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += piece) reader.take(bytes.subarray(at, at + piece));
  return reader.finish();
}

test("OpenAI's two interfaces and Anthropic's, whole", () => {
  expect(usageOf('{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}', false)).toEqual({ input: 3, output: 4 });
  expect(usageOf('{"usage":{"input_tokens":3,"output_tokens":4}}', false)).toEqual({ input: 3, output: 4 });
  const cached = '{"usage":{"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":10,"output_tokens":4}}';
  expect(usageOf(cached, false)).toEqual({ input: 113, output: 4 });
  expect(usageOf('{"usage":{"prompt_tokens":3,"total_tokens":3}}', false)).toEqual({ input: 3, output: 0 });
});

test("streams: the last chunk of a chat, the completed response, Anthropic's start and delta", () => {
  const chat =
    'data: {"choices":[],"usage":null}\n\ndata: {"choices":[{}],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\ndata: [DONE]\n\n';
  expect(usageOf(chat, true)).toEqual({ input: 3, output: 4 });
  const response =
    'event: response.completed\r\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":6}}}\r\n\r\n';
  expect(usageOf(response, true)).toEqual({ input: 5, output: 6 });
  const message =
    'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}\n\ndata: {"type":"message_delta","usage":{"output_tokens":20}}\n\n';
  expect(usageOf(message, true)).toEqual({ input: 9, output: 20 });
});

test("what says nothing, or lies, is unknown", () => {
  for (const text of [
    "",
    "not json",
    "{}",
    '{"usage":1}',
    '{"usage":{"prompt_tokens":-1}}',
    '{"usage":{"prompt_tokens":"9"}}',
    '{"usage":{"prompt_tokens":1.5}}',
    "[1]",
  ])
    expect(usageOf(text, false)).toBeUndefined();
  expect(usageOf('event: x\n"usage": {"prompt_tokens":1}\n', true)).toBeUndefined();
});

test("a line too long is passed over, the next is read; memory is bounded", () => {
  const long = `data: {"usage":"${"x".repeat(MAX_READ_FOR_USAGE)}"}\n`;
  expect(usageOf(`${long}data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}\n`, true, 65_536)).toEqual({ input: 1, output: 2 });
  expect(usageOf(`{"a":"${"x".repeat(MAX_READ_FOR_USAGE)}","usage":{"prompt_tokens":1}}`, false, 65_536)).toBeUndefined();
});
