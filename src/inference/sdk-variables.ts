import type { Protocol } from "./protocols.ts";

/** Stands where SDKs insist on a key; the real one is added behind `inference.local`. */
export const PLACEHOLDER_KEY = "openshell-inference-local";

interface Sdk {
  readonly serves: (protocol: Protocol) => boolean;
  readonly variables: Readonly<Record<string, string>>;
}

/** Anthropic's SDKs add `/v1` themselves. */
const SDKS: readonly Sdk[] = [
  {
    serves: (protocol) => protocol.startsWith("openai_"),
    variables: { OPENAI_BASE_URL: "https://inference.local/v1", OPENAI_API_KEY: PLACEHOLDER_KEY },
  },
  {
    serves: (protocol) => protocol === "anthropic_messages",
    variables: { ANTHROPIC_BASE_URL: "https://inference.local", ANTHROPIC_API_KEY: PLACEHOLDER_KEY },
  },
];

/** For each SDK that routes with these protocols can serve, the variables that lead it to `inference.local`. */
export function sdkVariables(protocols: readonly Protocol[]): readonly Readonly<Record<string, string>>[] {
  return SDKS.filter(({ serves }) => protocols.some(serves)).map(({ variables }) => variables);
}
