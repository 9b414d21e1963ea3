import { createHash } from "node:crypto";
import type { Endpoint, Policy } from "./model.ts";
import { authoredEndpoint, toAuthored } from "./to-authored.ts";

/** The same text for the same policy, whatever the order of keys in its source; absent and empty fields are the same. */
export function canonicalJson(policy: Policy): string {
  // `advisor_proposed` and `provider_credentialed` are not authorable, but they change what a policy means.
  const derived = Object.entries(policy.networkPolicies).flatMap(([key, { endpoints }]) =>
    endpoints.flatMap(({ advisorProposed, providerCredentialed }, i) =>
      advisorProposed || providerCredentialed ? [[key, i, advisorProposed, providerCredentialed] as const] : [],
    ),
  );
  derived.sort(([a, i], [b, j]) => (a === b ? i - j : a < b ? -1 : 1));
  return stable(derived.length === 0 ? toAuthored(policy) : { ...toAuthored(policy), derived });
}

/** SHA-256 of the canonical form, in hex. Two policies with the same hash mean the same. */
export function policyHash(policy: Policy): string {
  return createHash("sha256").update(canonicalJson(policy)).digest("hex");
}

/** JSON with the keys of every object sorted by code unit. */
export function stable(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stable).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  fields.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${stable(field)}`).join(",")}}`;
}

/** Everything an endpoint says, as one comparable string. */
export function endpointText(endpoint: Endpoint): string {
  return stable({ ...authoredEndpoint(endpoint), advisor: endpoint.advisorProposed, credentialed: endpoint.providerCredentialed });
}
