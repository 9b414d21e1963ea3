import { OpenShellError } from "../../../error.ts";
import { PROVIDER_TYPE_NAMES, type ProviderType, providerType } from "../../../inference/provider-types.ts";
import { type InferenceRoute, isSendableKey, readBaseUrl } from "../../../inference/route.ts";
import type { ProviderCredential } from "../providers/service.ts";
import { invalid } from "../sandboxes/limits.ts";
import type { StoredRoute } from "./repository.ts";

/**
 * What a stored route means with its provider as it is now: address, credential, protocols.
 * @throws OpenShellError `invalid_argument` for a kind of provider that no route can have, `failed_precondition` when the provider lacks
 * what a route needs
 */
export function resolveRoute(
  stored: Omit<StoredRoute, "version" | "workspace">,
  credential: ProviderCredential | undefined,
): InferenceRoute {
  if (credential === undefined)
    throw new OpenShellError("failed_precondition", `provider '${stored.provider}' not found`, {
      next: "openshell provider list, or openshell provider create",
    });
  const provider = providerType(credential.profile);
  if (provider === undefined)
    throw invalid(
      "provider_name",
      `provider '${stored.provider}' is of type '${credential.type}', and a route needs one of ${PROVIDER_TYPE_NAMES.join(", ")}`,
    );
  return {
    name: stored.name,
    provider,
    baseUrl: baseUrlOf(stored.provider, provider, credential),
    model: stored.model,
    protocols: provider.protocols,
    key: keyOf(stored.provider, provider, credential),
    timeoutMs: stored.timeout,
    modelInPath: false,
  };
}

const BEDROCK = "aws-bedrock";

/** In the form that routes have: nothing of it is sent, requests are signed with it. */
function awsKey(credentials: Readonly<Record<string, string>>): string | undefined {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: session } = credentials;
  if (id === undefined || secret === undefined) return undefined;
  return session === undefined ? `${id}:${secret}` : `${id}:${secret}:${session}`;
}

function baseUrlOf(name: string, provider: ProviderType, { config, credentials }: ProviderCredential): URL {
  const region = credentials["AWS_REGION"] ?? credentials["AWS_DEFAULT_REGION"] ?? config["AWS_REGION"];
  const regional = provider.name === BEDROCK && region !== undefined ? `https://bedrock-runtime.${region}.amazonaws.com` : undefined;
  const said = config[provider.baseUrlKey] ?? provider.baseUrl ?? regional;
  if (said === undefined)
    throw new OpenShellError("failed_precondition", `provider '${name}' does not say where it is`, {
      next: `openshell provider update ${name} --config ${provider.baseUrlKey}=https://…`,
    });
  const url = readBaseUrl(said);
  if (url === undefined)
    throw new OpenShellError("failed_precondition", `${provider.baseUrlKey} of provider '${name}' is not an http:// or https:// URL`, {
      next: `openshell provider update ${name} --config ${provider.baseUrlKey}=https://…`,
    });
  return url;
}

function keyOf(name: string, provider: ProviderType, { credentials, key }: ProviderCredential): string {
  const named = provider.keyNames.find((variable) => Object.hasOwn(credentials, variable));
  const secret = named === undefined ? (provider.name === BEDROCK ? awsKey(credentials) : key) : credentials[named];
  const [first = ""] = provider.keyNames;
  const next = `openshell provider update ${name} --credential ${first}`;
  if (secret === undefined)
    throw new OpenShellError("failed_precondition", `provider '${name}' has no credential for its models`, { next });
  if (!isSendableKey(secret))
    throw new OpenShellError("failed_precondition", `the credential of provider '${name}' cannot be sent`, { next });
  return secret;
}
