import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import { type Configuration, firstConfiguration, retried } from "./configuration.ts";
import type { GatewayConnection } from "./gateway-client.ts";
import { type BundledRoutes, bundledRoutes } from "./inference-bundle.ts";
import { fetchCredentials, NO_PROVIDERS, type ProviderCredentials } from "./provider-credentials.ts";

/** Everything that a sandbox starts from and only its gateway knows. */
export interface FirstState {
  readonly configuration: Configuration;
  /** What a person should know about where the policy came from. */
  readonly notes: readonly string[];
  readonly provided: ProviderCredentials;
  readonly routes: BundledRoutes;
}

/** Asks the gateway, for as long as it may take to be there. */
export async function fetchFirstState({ client, inference }: GatewayConnection, spec: SupervisorSpec): Promise<FirstState> {
  const configured = async () => {
    const { configuration, notes } = await firstConfiguration(client, spec);
    const provided = configuration.environmentRevision === 0n ? NO_PROVIDERS : await retried(() => fetchCredentials(client, spec));
    return { configuration, notes, provided };
  };
  const [state, bundle] = await Promise.all([configured(), retried(() => inference.getInferenceBundle({}))]);
  return { ...state, routes: bundledRoutes(bundle) };
}
