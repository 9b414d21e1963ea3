import type { Protocol } from "./protocols.ts";

/** How a provider learns who pays. */
export type Authentication = "bearer" | "x-api-key";

/** What is known about a kind of provider: where it is, how it is spoken to. */
export interface ProviderType {
  readonly name: string;
  /** Where it is when nothing else is said; undefined: it must be said. */
  readonly baseUrl: string | undefined;
  readonly authentication: Authentication;
  /** What it can serve. */
  readonly protocols: readonly Protocol[];
  /** Header fields of the program that reach the provider, beside those that every request may have; lower case. */
  readonly passedFields: readonly string[];
  /** Header fields that are added when the program did not send them; lower case. */
  readonly defaultFields: Readonly<Record<string, string>>;
  /** Keys of a provider record, in the order they are looked for, that hold the secret. */
  readonly keyNames: readonly string[];
  /** Key of a provider record's configuration that moves it elsewhere: a proxy, a compatible server. */
  readonly baseUrlKey: string;
}

const OPENAI_PROTOCOLS: readonly Protocol[] = [
  "openai_chat_completions",
  "openai_completions",
  "openai_responses",
  "openai_embeddings",
  "model_discovery",
];

const ANTHROPIC_FIELDS = { passedFields: ["anthropic-version", "anthropic-beta"], defaultFields: { "anthropic-version": "2023-06-01" } };

const TYPES: readonly ProviderType[] = [
  {
    name: "openai",
    baseUrl: "https://api.openai.com/v1",
    authentication: "bearer",
    protocols: OPENAI_PROTOCOLS,
    passedFields: ["openai-organization", "x-model-id"],
    defaultFields: {},
    keyNames: ["OPENAI_API_KEY"],
    baseUrlKey: "OPENAI_BASE_URL",
  },
  {
    name: "anthropic",
    baseUrl: "https://api.anthropic.com/v1",
    authentication: "x-api-key",
    protocols: ["anthropic_messages", "model_discovery"],
    ...ANTHROPIC_FIELDS,
    keyNames: ["ANTHROPIC_API_KEY", "CLAUDE_API_KEY"],
    baseUrlKey: "ANTHROPIC_BASE_URL",
  },
  {
    name: "nvidia",
    baseUrl: "https://integrate.api.nvidia.com/v1",
    authentication: "bearer",
    protocols: OPENAI_PROTOCOLS,
    passedFields: ["x-model-id"],
    defaultFields: {},
    keyNames: ["NVIDIA_API_KEY"],
    baseUrlKey: "NVIDIA_BASE_URL",
  },
  {
    name: "deepinfra",
    baseUrl: "https://api.deepinfra.com/v1/openai",
    authentication: "bearer",
    protocols: OPENAI_PROTOCOLS,
    passedFields: ["x-model-id"],
    defaultFields: {},
    keyNames: ["DEEPINFRA_API_KEY"],
    baseUrlKey: "DEEPINFRA_BASE_URL",
  },
  {
    name: "aws-bedrock",
    baseUrl: undefined,
    authentication: "bearer",
    protocols: ["aws_bedrock_invoke"],
    passedFields: ["x-amzn-bedrock-accept"],
    defaultFields: {},
    keyNames: ["AWS_BEARER_TOKEN_BEDROCK"],
    baseUrlKey: "BEDROCK_BASE_URL",
  },
  {
    name: "google-vertex-ai",
    baseUrl: undefined,
    authentication: "bearer",
    protocols: ["openai_chat_completions", "anthropic_messages"],
    passedFields: ["anthropic-beta"],
    defaultFields: {},
    keyNames: ["GOOGLE_VERTEX_AI_TOKEN", "VERTEX_AI_TOKEN", "GOOGLE_VERTEX_AI_SERVICE_ACCOUNT_TOKEN", "VERTEX_AI_SERVICE_ACCOUNT_TOKEN"],
    baseUrlKey: "VERTEX_AI_BASE_URL",
  },
];

/** Names of every type that a route can have. */
export const PROVIDER_TYPE_NAMES: readonly string[] = TYPES.map(({ name }) => name);

/** Other words for the same. */
const ALIASES: Readonly<Record<string, string>> = { vertex: "google-vertex-ai", claude: "anthropic", "claude-code": "anthropic" };

/** The type by its name or an alias of it; undefined: a route cannot have it. */
export function providerType(name: string): ProviderType | undefined {
  const wanted = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  return TYPES.find((type) => type.name === wanted);
}
