import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type GetSandboxProviderEnvironmentResponse,
  GetSandboxProviderEnvironmentResponseSchema,
  type ProviderEnvironmentSnapshot,
  ProviderEnvironmentSnapshotSchema,
  ProviderEnvironmentValueClassification,
  type StaticCredentialBinding,
  StaticCredentialBindingSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { findProfile } from "./profiles/catalogue.ts";
import type { ProviderRecord } from "./repository.ts";

const { STATIC_CREDENTIAL, NON_SECRET } = ProviderEnvironmentValueClassification;

/** Programs must read these themselves, and nobody gains by knowing them. */
const NOT_SECRET: ReadonlySet<string> = new Set(["AWS_REGION", "AWS_DEFAULT_REGION"]);

/**
 * What a sandbox's supervisor needs of its providers, secrets in clear: sent to it and nobody else. The first provider that has a variable
 * gives it.
 */
export function environmentSnapshot(providers: readonly ProviderRecord[], attachmentEpoch: string): ProviderEnvironmentSnapshot {
  const taken = new Set<string>();
  const values: ProviderEnvironmentSnapshot["values"][number][] = [];
  const snapshot = create(ProviderEnvironmentSnapshotSchema, {
    providerEnvRevision: environmentRevision(providers),
    providerAttachmentEpoch: attachmentEpoch,
  });
  for (const provider of providers) {
    for (const [name, value] of Object.entries(provider.credentials)) {
      if (taken.has(name)) continue;
      taken.add(name);
      const expires = provider.expirations[name];
      const secret = !NOT_SECRET.has(name);
      values.push({
        $typeName: "openshell.v1.ProviderEnvironmentValue",
        name,
        value,
        classification: secret ? STATIC_CREDENTIAL : NON_SECRET,
        ...(secret ? { staticCredentialBinding: binding(provider, name) } : {}),
        stablePlaceholder: secret,
        ...(expires === undefined ? {} : { expirationTime: timestampFromMs(expires) }),
      });
    }
  }
  snapshot.values = values;
  return snapshot;
}

/** The same for a supervisor that asks instead of being told. */
export function environmentResponse(snapshot: ProviderEnvironmentSnapshot): GetSandboxProviderEnvironmentResponse {
  const response = create(GetSandboxProviderEnvironmentResponseSchema, {
    providerEnvRevision: snapshot.providerEnvRevision,
    providerAttachmentEpoch: snapshot.providerAttachmentEpoch,
    supportsStablePlaceholderEnvironmentKeys: true,
  });
  for (const { name, value, classification, expirationTime, staticCredentialBinding } of snapshot.values) {
    response.environment[name] = value;
    if (staticCredentialBinding !== undefined) response.staticCredentialBindings[name] = staticCredentialBinding;
    if (expirationTime !== undefined) response.credentialExpirationTimes[name] = expirationTime;
    (classification === NON_SECRET ? response.nonSecretEnvironmentKeys : response.stablePlaceholderEnvironmentKeys).push(name);
  }
  return response;
}

/**
 * Names a state of the providers; 0 means none. Made of ids and versions, never of secrets: everybody who may read a configuration sees it,
 * and could try guesses against a hash of a secret.
 */
export function environmentRevision(providers: readonly ProviderRecord[]): bigint {
  if (providers.length === 0) return 0n;
  const hash = createHash("sha256");
  for (const { id, resourceVersion } of providers) hash.update(`${id} ${resourceVersion}\n`);
  // Never 0, and never a number that a signed column could not hold.
  return (hash.digest().readBigUInt64LE(0) >> 1n) | 1n;
}

/** Where a credential of a provider may be sent, and where in a request it may stand: what the provider's profile says. */
function binding({ id, name, type }: ProviderRecord, variable: string): StaticCredentialBinding {
  const profile = findProfile(type);
  const declared = profile?.credentials.find(({ envVars }) => envVars.includes(variable));
  const endpoints = (profile?.endpoints ?? []).flatMap(({ host, ports, path }) => ports.map((port) => ({ host, port, path })));
  return create(StaticCredentialBindingSchema, {
    endpoints,
    credentialIdentity: `${id}/${variable}`,
    provider: name,
    ...(declared === undefined ? {} : { declared }),
  });
}
