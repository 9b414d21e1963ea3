import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import type { Configuration } from "./configuration.ts";
import type { GatewayClient } from "./gateway-client.ts";

/** What the sandbox works with at this moment. */
export interface InForce {
  readonly configuration: Configuration;
  /** Revision of the credentials that requests and new programs are given. */
  readonly environmentRevision: bigint;
}

/** Tells the gateway which providers' credentials are in place, at the start of a session and after each change. */
export class ReadinessReporter {
  readonly #client: Pick<GatewayClient, "reportProviderReadiness">;
  readonly #spec: Pick<SupervisorSpec, "sandboxId" | "instanceId">;
  readonly #inForce: () => InForce;
  #session: string | undefined;
  #sequence = 0n;

  constructor(
    client: Pick<GatewayClient, "reportProviderReadiness">,
    spec: Pick<SupervisorSpec, "sandboxId" | "instanceId">,
    inForce: () => InForce,
  ) {
    this.#client = client;
    this.#spec = spec;
    this.#inForce = inForce;
  }

  set session(id: string | undefined) {
    this.#session = id;
  }

  /** Never rejects: a report that is lost is followed by that of the next change, or of the next session. */
  async report(): Promise<void> {
    if (this.#session === undefined) return;
    const { configuration, environmentRevision } = this.#inForce();
    const installed = environmentRevision === configuration.environmentRevision;
    this.#sequence += 1n;
    const observation = {
      sessionId: this.#session,
      sequence: this.#sequence,
      attachmentEpoch: configuration.attachmentEpoch,
      providerEnvRevision: environmentRevision,
      configRevision: configuration.revision,
      policyHash: configuration.hash,
      credentialsInstalled: installed,
      policyActive: true,
      launchEnvironmentInstalled: installed,
      processInstanceId: this.#spec.instanceId,
    };
    await this.#client.reportProviderReadiness({ sandboxId: this.#spec.sandboxId, observation }).catch(() => undefined);
  }
}
