import type { Inspection } from "../../../engine/decision.ts";
import type { Endpoint } from "../../../policy/model.ts";
import type { Authority } from "../proxy/http1/authority.ts";
import { mayReach } from "./binding.ts";
import type { CredentialSet } from "./model.ts";

/**
 * What has to be done with a connection whose requests may carry credentials: they must be seen, so bytes in which there are no requests are
 * refused. Undefined: they cannot be seen (`tls: skip`), and the connection must not be. `allow_uninspected_credentials` lets both pass; then
 * placeholders stay placeholders.
 */
export function planWithCredentials(
  plan: Inspection,
  endpoints: readonly Endpoint[],
  server: Authority,
  set: CredentialSet,
): Inspection | undefined {
  if (!carriesCredentials(endpoints, server, set)) return plan;
  if (endpoints.some(({ allowUninspectedCredentials }) => allowUninspectedCredentials)) return plan;
  if (plan.tls === "skip") return undefined;
  return { ...plan, inspected: true, opaque: plan.opaque === "relay" ? "refuse" : plan.opaque };
}

function carriesCredentials(endpoints: readonly Endpoint[], server: Authority, set: CredentialSet): boolean {
  const declared = endpoints.some(
    ({ providerCredentialed, credentialBinding, credentialSigning }) =>
      providerCredentialed || credentialBinding !== undefined || credentialSigning !== "",
  );
  return declared || [...set.values()].some((credential) => mayReach(credential, server));
}
