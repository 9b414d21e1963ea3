import { OpenShellError } from "../../../error.ts";
import type { Provider } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { atMost, checkEntries, checkLabels, checkNoNul, invalid } from "../sandboxes/limits.ts";
import { MAX_CONFIG_ENTRIES, MAX_CREDENTIALS, MAX_PROVIDER_NAME, MAX_TYPE_LENGTH } from "./limits.ts";
import { allProfiles, findProfile } from "./profiles/catalogue.ts";

/** A name that can stand in a rule's key and a URL. */
export function checkProviderName(name: string): void {
  atMost("name", name.length, MAX_PROVIDER_NAME, "characters");
  if (!/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i.test(name))
    throw invalid("name", "must be letters, digits, dots, dashes and underscores, with a letter or digit at both ends");
}

export function checkProviderType(type: string): void {
  if (type === "") throw invalid("provider.type", "is required");
  atMost("provider.type", type.length, MAX_TYPE_LENGTH, "characters");
  if (findProfile(type) !== undefined) return;
  const known = allProfiles().map(({ id }) => id);
  throw new OpenShellError("invalid_argument", `provider.type: '${type}' is not known`, {
    violations: [{ field: "provider.type", message: "is not known" }],
    next: `use one of ${known.join(", ")}; generic takes credentials of any service`,
  });
}

/** Everything a request says about a provider besides its name and type. Messages never hold a value. */
export function checkProviderParts(provider: Provider): void {
  const { credentials, config, metadata, credentialHandles } = provider;
  checkLabels("labels", metadata?.labels ?? {});
  checkEntries("annotations", metadata?.annotations ?? {});
  atMost("provider.credentials", Object.keys(credentials).length, MAX_CREDENTIALS, "entries");
  checkEntries("provider.credentials", credentials);
  for (const [key, secret] of Object.entries(credentials)) checkSecret(key, secret);
  atMost("provider.config", Object.keys(config).length, MAX_CONFIG_ENTRIES, "entries");
  checkEntries("provider.config", config);
  for (const [key, value] of Object.entries(config)) checkNoNul(`provider.config[${key}]`, value);
  if (Object.keys(credentialHandles).length > 0)
    throw new OpenShellError("unimplemented", "credentials kept by another driver are not available in this version of OpenShell");
}

/** A credential's name becomes a variable, its value part of a request's head: neither may be able to become anything else. */
function checkSecret(key: string, secret: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw invalid("provider.credentials", `'${key}' is not a variable name`);
  if (/^(OPENSHELL_|NEMOCLAW_|NAVIGATOR_)/.test(key) || OWN_VARIABLES.has(key.toUpperCase()))
    throw invalid("provider.credentials", `'${key}' is a variable that OpenShell sets itself`);
  if (/[\r\n\0]/.test(secret)) throw invalid(`provider.credentials[${key}]`, "contains a line break or a NUL byte");
  if (/openshell[-:]resolve[-:]env[-:]/i.test(secret)) throw invalid(`provider.credentials[${key}]`, "is a placeholder, not a secret");
}

/** How a program finds its way out and what it trusts is not a credential's to say. */
const OWN_VARIABLES: ReadonlySet<string> = new Set([
  ...["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GRPC_PROXY", "NODE_USE_ENV_PROXY", "PATH", "HOME", "USER", "LOGNAME", "SHELL"],
  ...["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "DENO_CERT"],
  ...["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "LD_PRELOAD", "LD_LIBRARY_PATH"],
]);
