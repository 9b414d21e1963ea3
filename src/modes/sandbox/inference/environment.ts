import type { InferenceRoute } from "../../../inference/route.ts";
import { sdkVariables } from "../../../inference/sdk-variables.ts";

/**
 * `given` and, for each SDK that a route can serve, the variables that lead it there. Where `given` says something about an SDK already (a
 * provider that was attached, a variable of the user's) nothing is added: half of each would send one's key to the other.
 */
export function withModels(routes: readonly InferenceRoute[], given: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = { ...given };
  for (const variables of sdkVariables(routes.flatMap(({ protocols }) => protocols)))
    if (!Object.keys(variables).some((name) => Object.hasOwn(given, name))) Object.assign(environment, variables);
  return environment;
}
