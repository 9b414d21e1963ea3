import { randomUUID } from "node:crypto";
import { OpenShellError } from "../../../error.ts";
import type { Provider, WorkspaceSelector } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { atMost, checkedTime, invalid } from "../sandboxes/limits.ts";
import { petname } from "../sandboxes/names.ts";
import { oneWorkspace } from "../sandboxes/workspace.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { requireProviders } from "./attach.ts";
import { MAX_CONFIG_ENTRIES, MAX_CREDENTIALS } from "./limits.ts";
import { findProfile } from "./profiles/catalogue.ts";
import type { ProviderRecord, ProviderRepository } from "./repository.ts";
import { checkProviderName, checkProviderParts, checkProviderType } from "./validate.ts";

/** An update beyond what the provider message carries. */
export interface ProviderUpdate {
  readonly provider: Provider;
  /** Milliseconds since the epoch, by credential. */
  readonly expirations: Readonly<Record<string, number>>;
  readonly clearExpirations: readonly string[];
}

/** Accounts at services. Synchronous, so that a caller can put each change into its own transaction. */
export interface ProviderService {
  /** `not_found` when there is none. */
  find(scope: WorkspaceSelector | undefined, name: string): ProviderRecord;
  list(workspace: string | undefined, after: readonly [string, string], limit: number): ProviderRecord[];
  create(workspace: string, provider: Provider): ProviderRecord;
  /** Merges the maps: an empty map changes nothing, an empty value deletes its key. Throws when the type or version differs. */
  update(scope: WorkspaceSelector | undefined, update: ProviderUpdate): ProviderRecord;
  delete(record: ProviderRecord): void;
  /** Throws `failed_precondition` for a name that no provider of the workspace has, `invalid_argument` for one that is named twice. */
  requireAll(workspace: string, names: readonly string[]): void;
  /** The providers attached to a sandbox, in their order; one that is gone is left out. */
  attachedTo(sandbox: Pick<SandboxRecord, "workspace" | "spec">): ProviderRecord[];
  /** Secrets and settings for an inference route of this provider; undefined when there is none of the name. Never leaves the gateway but in a bundle. */
  providerCredential(workspace: string, name: string): ProviderCredential | undefined;
}

/** What an inference route needs of a provider. */
export interface ProviderCredential {
  readonly id: string;
  /** As it was given: `openai`, `claude`; `profile` is the canonical name. */
  readonly type: string;
  readonly profile: string;
  /** Counts up with every change, a rotated secret included. */
  readonly resourceVersion: number;
  readonly config: Readonly<Record<string, string>>;
  readonly credentials: Readonly<Record<string, string>>;
  /** The first credential that the profile names and the provider has, else the only one. */
  readonly key: string | undefined;
}

export function providerService(repository: ProviderRepository, clock: { now(): number }): ProviderService {
  const find = (scope: WorkspaceSelector | undefined, name: string): ProviderRecord => {
    const workspace = oneWorkspace(scope);
    if (name === "") throw invalid("name", "is required");
    const record = repository.byName(workspace, name);
    if (record === undefined) throw new OpenShellError("not_found", `provider '${name}' not found`, { next: "openshell provider list" });
    return record;
  };
  return {
    find,
    list: (workspace, after, limit) => repository.list(workspace, after, limit),
    create(workspace, provider) {
      checkProviderType(provider.type);
      checkProviderParts(provider);
      if (Object.keys(provider.credentials).length === 0 && needsCredentials(provider.type))
        throw invalid("provider.credentials", "is empty: a provider without a credential gives nothing");
      for (const [key, secret] of Object.entries(provider.credentials))
        if (secret === "") throw invalid(`provider.credentials[${key}]`, "is empty");
      const { name = "", labels = {}, annotations = {} } = provider.metadata ?? {};
      if (name !== "") checkProviderName(name);
      const record: ProviderRecord = {
        id: randomUUID(),
        workspace,
        name: name === "" ? petname((taken) => repository.byName(workspace, taken) !== undefined) : name,
        type: provider.type.toLowerCase(),
        createdAt: clock.now(),
        resourceVersion: 1,
        labels,
        annotations,
        config: provider.config,
        credentials: provider.credentials,
        expirations: expirationsOf(provider, provider.credentials),
      };
      repository.insert(record);
      return record;
    },
    update(scope, { provider, expirations, clearExpirations }) {
      const before = find(scope, provider.metadata?.name ?? "");
      checkProviderParts(provider);
      if (provider.type !== "" && findProfile(provider.type)?.id !== findProfile(before.type)?.id)
        throw invalid(
          "provider.type",
          `is '${before.type}' and cannot be changed to '${provider.type}'; delete the provider and create another`,
        );
      const expected = provider.metadata?.resourceVersion ?? 0n;
      if (expected !== 0n && expected !== BigInt(before.resourceVersion))
        throw new OpenShellError("aborted", `the provider is at resource version ${before.resourceVersion}, not ${expected}`);
      const credentials = merged(before.credentials, provider.credentials);
      if (Object.keys(credentials).length === 0 && needsCredentials(before.type))
        throw invalid("provider.credentials", "would be empty; delete the provider instead");
      atMost("provider.credentials", Object.keys(credentials).length, MAX_CREDENTIALS, "entries");
      const config = merged(before.config, provider.config);
      atMost("provider.config", Object.keys(config).length, MAX_CONFIG_ENTRIES, "entries");
      // A new secret has a life of its own: what was known of the old one's end says nothing about it.
      const kept = Object.entries(before.expirations).filter(
        ([key]) => !Object.hasOwn(provider.credentials, key) && !clearExpirations.includes(key),
      );
      const next = { ...Object.fromEntries(kept), ...expirationsOf(provider, credentials), ...expirations };
      for (const key of Object.keys(next))
        if (!Object.hasOwn(credentials, key)) throw invalid("credential_expiration_times", `'${key}' is not a credential of the provider`);
      return repository.update(before.id, { credentials, config, expirations: next });
    },
    delete: ({ id }) => void repository.delete(id),
    requireAll: (workspace, names) => requireProviders(repository, workspace, names),
    attachedTo: ({ workspace, spec }) => spec.providers.flatMap((name) => repository.byName(workspace, name) ?? []),
    providerCredential(workspace, name) {
      const record = repository.byName(workspace, name);
      if (record === undefined) return undefined;
      const { id, type, resourceVersion, config, credentials } = record;
      const profile = findProfile(type);
      const named = profile?.credentials.flatMap(({ envVars }) => envVars).find((variable) => Object.hasOwn(credentials, variable));
      const [first, ...others] = Object.keys(credentials);
      const key = named ?? (others.length === 0 ? first : undefined);
      const secret = key === undefined ? undefined : credentials[key];
      return { id, type, profile: profile?.id ?? type, resourceVersion, config, credentials, key: secret };
    },
  };
}

/** Kinds that are endpoints alone have no secret. */
function needsCredentials(type: string): boolean {
  const profile = findProfile(type);
  return profile === undefined || profile.credentials.length > 0 || profile.endpoints.length === 0;
}

function merged(before: Readonly<Record<string, string>>, change: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries({ ...before, ...change }).filter(([, value]) => value !== ""));
}

function expirationsOf(provider: Provider, credentials: Readonly<Record<string, string>>): Record<string, number> {
  const entries = Object.entries(provider.credentialExpirationTimes).map(
    ([key, time]) => [key, checkedTime(`provider.credential_expiration_times[${key}]`, time)] as const,
  );
  for (const [key] of entries)
    if (!Object.hasOwn(credentials, key))
      throw invalid("provider.credential_expiration_times", `'${key}' is not a credential of the provider`);
  return Object.fromEntries(entries);
}
