import { expect, test } from "bun:test";
import { protocolOf } from "./protocols.ts";
import { readBaseUrl, routeUrl } from "./route.ts";

const urls: readonly [string, string, string][] = [
  ["https://api.openai.com/v1", "/v1/chat/completions", "https://api.openai.com/v1/chat/completions"],
  ["https://api.openai.com/v1/", "/v1/models", "https://api.openai.com/v1/models"],
  ["https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"],
  ["http://localhost:11434", "/v1/chat/completions", "http://localhost:11434/v1/chat/completions"],
  ["https://api.deepinfra.com/v1/openai", "/v1/embeddings", "https://api.deepinfra.com/v1/openai/embeddings"],
  ["https://a.example/v1beta/openai/", "/v1/chat/completions", "https://a.example/v1beta/openai/chat/completions"],
  ["https://a.example/proxy", "/v1/models/meta/llama", "https://a.example/proxy/v1/models/meta/llama"],
  [
    "https://bedrock-runtime.eu-west-1.amazonaws.com",
    "/model/mine/invoke",
    "https://bedrock-runtime.eu-west-1.amazonaws.com/model/a%2Fb%3A1/invoke",
  ],
];

for (const [base, path, expected] of urls)
  test(`${base} and ${path}`, () => {
    expect(routeUrl({ baseUrl: new URL(base), model: "a/b:1" }, path).href).toBe(expected);
  });

test("a route may have a path of its own, and a query goes with it", () => {
  const url = routeUrl({ baseUrl: new URL("https://a.example/v1"), model: "m", requestPath: "/rawPredict" }, "/v1/messages", "?beta=true");
  expect(url.href).toBe("https://a.example/v1/rawPredict?beta=true");
});

test("what a base URL may be", () => {
  for (const text of ["https://a/v1", "http://127.0.0.1:8000", "http://[::1]:8000/v1", "mock://x", "mock:"])
    expect(readBaseUrl(text)?.href).toBeDefined();
  for (const text of ["", "a", "ftp://a", "file:///etc", "https://u@a", "https://a?x=1", "https://a#x", "javascript:1", "unix:/x"])
    expect(readBaseUrl(text)).toBeUndefined();
});

test("case-83 what is a question, by method and path", () => {
  const known: readonly [string, string, string | undefined][] = [
    ["POST", "/v1/chat/completions", "openai_chat_completions"],
    ["POST", "/v1/completions", "openai_completions"],
    ["POST", "/v1/responses", "openai_responses"],
    ["POST", "/v1/embeddings", "openai_embeddings"],
    ["POST", "/v1/messages", "anthropic_messages"],
    ["POST", "/model/anthropic.claude-v2%3A1/invoke", "aws_bedrock_invoke"],
    ["POST", "/model/x/invoke-with-response-stream", "aws_bedrock_invoke"],
    ["GET", "/v1/models", "model_discovery"],
    ["GET", "/v1/models/meta/llama-3", "model_discovery"],
    ["HEAD", "/v1/models", undefined],
    ["PUT", "/v1/chat/completions", undefined],
    ["POST", "/v1/chat/completions/", undefined],
    ["POST", "/V1/messages", undefined],
    ["POST", "/v1/messages/count_tokens", undefined],
    ["POST", "/v1/constructor", undefined],
    ["POST", "/model/x/y/invoke", undefined],
    ["POST", "/model//invoke", undefined],
    ["GET", "/v1/models/", undefined],
  ];
  for (const [method, path, protocol] of known) expect([method, path, protocolOf(method, path)]).toEqual([method, path, protocol]);
});
