import type { Protocol } from "../../../inference/protocols.ts";
import type { InferenceRoute } from "../../../inference/route.ts";

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

/**
 * `given` and, for each SDK that a route can serve, the variables that lead it there. Where `given` says something about an SDK already (a
 * provider that was attached, a variable of the user's) nothing is added: half of each would send one's key to the other.
 */
export function withModels(routes: readonly InferenceRoute[], given: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = { ...given };
  for (const { serves, variables } of SDKS) {
    const served = routes.some(({ protocols }) => protocols.some(serves));
    if (served && !Object.keys(variables).some((name) => Object.hasOwn(given, name))) Object.assign(environment, variables);
  }
  return environment;
}
