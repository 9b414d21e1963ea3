import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type ProviderEnvironmentSnapshot,
  ProviderEnvironmentValueClassification,
  type StaticCredentialBinding,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import { type Credential, type CredentialEndpoint, CredentialSet, Credentials } from "../credentials/model.ts";
import { slotsOf } from "../credentials/slot.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** What the gateway's providers give this sandbox, at one revision. */
export interface ProviderCredentials {
  /** Names the state of the providers; 0: there are none. */
  readonly revision: bigint;
  readonly credentials: CredentialSet;
  /** Variables that are no secret, such as a region. */
  readonly plain: Readonly<Record<string, string>>;
}

export const NO_PROVIDERS: ProviderCredentials = { revision: 0n, credentials: CredentialSet.EMPTY, plain: {} };

/** The providers of a sandbox as they are now. A change counts for the next request and the next program; one that runs keeps its variables. */
export class ProviderState {
  readonly credentials: Credentials;
  #current: ProviderCredentials;

  constructor(first: ProviderCredentials) {
    this.#current = first;
    this.credentials = new Credentials(first.credentials);
  }

  get revision(): bigint {
    return this.#current.revision;
  }

  replace(next: ProviderCredentials): void {
    if (next.revision === this.#current.revision) return;
    this.#current = next;
    this.credentials.replace(next.credentials);
  }

  /** Variables of every program that starts now: placeholders, and what is no secret. */
  environment(): Record<string, string> {
    return { ...this.#current.plain, ...this.credentials.environment() };
  }
}

const { NON_SECRET } = ProviderEnvironmentValueClassification;

/** The credentials in a pushed snapshot. A value that says nothing of where it may go can go nowhere. */
export function pushedCredentials({ providerEnvRevision, values }: ProviderEnvironmentSnapshot): ProviderCredentials {
  const secrets = values.filter(({ classification }) => classification !== NON_SECRET);
  const others = values.filter(({ classification }) => classification === NON_SECRET);
  return {
    revision: providerEnvRevision,
    plain: Object.fromEntries(others.map(({ name, value }) => [name, value])),
    credentials: new CredentialSet(
      secrets.flatMap(({ name, value, staticCredentialBinding, expirationTime }) =>
        toCredential(name, value, staticCredentialBinding, expirationTime),
      ),
    ),
  };
}

/** Asks for the same. */
export async function fetchCredentials(client: GatewayClient, { sandboxId }: SupervisorSpec): Promise<ProviderCredentials> {
  const answer = await client.getSandboxProviderEnvironment({
    sandboxId,
    supportsStaticCredentialBindings: true,
    supportsStablePlaceholderEnvironmentKeys: true,
  });
  const plain = new Set(answer.nonSecretEnvironmentKeys);
  const secrets = Object.entries(answer.environment).filter(([name]) => !plain.has(name));
  return {
    revision: answer.providerEnvRevision,
    plain: Object.fromEntries(Object.entries(answer.environment).filter(([name]) => plain.has(name))),
    credentials: new CredentialSet(
      secrets.flatMap(([name, value]) =>
        toCredential(name, value, answer.staticCredentialBindings[name], answer.credentialExpirationTimes[name]),
      ),
    ),
  };
}

function toCredential(
  key: string,
  secret: string,
  binding: StaticCredentialBinding | undefined,
  expirationTime: Timestamp | undefined,
): Credential[] {
  if (binding === undefined || secret === "") return [];
  const endpoints = binding.endpoints.map(({ host, port, path }): CredentialEndpoint => ({ host, ports: port === 0 ? [] : [port], path }));
  return [
    {
      key,
      secret,
      provider: binding.provider,
      slots: slotsOf(key, binding.declared),
      endpoints,
      ...(expirationTime === undefined ? {} : { expiresAt: timestampMs(expirationTime) }),
    },
  ];
}
