import { expect, test } from "bun:test";
import { OpenShellError } from "../../../error.ts";
import { DEFAULT_INFERENCE_LIMITS } from "./limits.ts";
import { parseRoutes } from "./routes-file.ts";

const WHOLE = `routes:
  - name: inference.local
    endpoint: https://api.openai.com/v1
    model: gpt-4.1
    protocols: [openai_chat_completions, openai_responses]
    api_key_env: MY_KEY
    timeout_secs: 120
  - name: claude
    endpoint: https://api.anthropic.com
    model: claude-sonnet-4-5
    provider_type: anthropic
    protocols: [anthropic_messages]
    api_key: sk-ant-1
limits:
  requests_per_minute: 60
  tokens_per_hour: 0
`;

test("a whole file", () => {
  const { routes, limits } = parseRoutes(WHOLE, { MY_KEY: "sk-1" }, "routes.yaml");
  expect(routes).toMatchObject([
    { name: "inference.local", model: "gpt-4.1", key: "sk-1", timeoutMs: 120_000, provider: { name: "openai" } },
    { name: "claude", key: "sk-ant-1", timeoutMs: 60_000, provider: { name: "anthropic" }, protocols: ["anthropic_messages"] },
  ]);
  expect(limits).toEqual({ ...DEFAULT_INFERENCE_LIMITS, requestsPerMinute: 60, tokensPerHour: 0 });
});

const route = (changes: Readonly<Record<string, string | undefined>>): string => {
  const fields = { name: "a", endpoint: "https://a/v1", model: "m", protocols: "[model_discovery]", api_key: "k", ...changes };
  const lines = Object.entries(fields).flatMap(([key, value]) => (value === undefined ? [] : [`${key}: ${value}`]));
  return `routes:\n  - ${lines.join("\n    ")}\n`;
};

const wrong: readonly [string, string, string, number][] = [
  ["no protocols", route({ protocols: undefined }), "routes[0].protocols", 2],
  ["an unknown protocol", route({ protocols: "[openai]" }), "routes[0].protocols[0]", 5],
  ["no key", route({ api_key: undefined }), "routes[0]", 2],
  ["two keys", route({ api_key_env: "MY_KEY" }), "routes[0].api_key_env", 7],
  ["a variable that is not set", route({ api_key: undefined, api_key_env: "NOT_SET" }), "routes[0].api_key_env", 6],
  ["a key of two lines", route({ api_key: '"a\\nb"' }), "routes[0].api_key", 6],
  ["a URL with a user", route({ endpoint: "https://u:p@a/v1" }), "routes[0].endpoint", 3],
  ["another scheme", route({ endpoint: "file:///etc/passwd" }), "routes[0].endpoint", 3],
  ["an unknown provider", route({ provider_type: "acme" }), "routes[0].provider_type", 7],
  ["an unknown field", route({ api_keys: "x" }), "routes[0].api_keys", 7],
  ["a time that is none", route({ timeout_secs: "-1" }), "routes[0].timeout_secs", 7],
  ["no routes", "limits: {}\n", "routes", 1],
  ["a limit that is none", `${route({})}limits:\n  requests_per_minute: many\n`, "limits.requests_per_minute", 8],
  ["a model twice", `${route({})}    model: other\n`, "document", 7],
];

for (const [what, text, field, line] of wrong)
  test(`${what}: ${field} at line ${line}`, () => {
    try {
      parseRoutes(text, { MY_KEY: "sk-1" }, "routes.yaml");
      throw new Error("accepted");
    } catch (error) {
      const { code, violations } = OpenShellError.from(error);
      expect({ code, violations }).toMatchObject({ code: "invalid_argument", violations: [{ field, line }] });
    }
  });

test("no key is in any message", () => {
  try {
    parseRoutes(route({ api_key: '"sk-secret one"' }), {}, "routes.yaml");
  } catch (error) {
    expect(JSON.stringify(OpenShellError.from(error).violations)).not.toContain("sk-secret");
  }
});
