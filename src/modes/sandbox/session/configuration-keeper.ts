import type { MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { type ConfigUpdate, type ConfigUpdateResultSchema, PolicyStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import type { PolicyAdvisor } from "../advisor/policy-advisor.ts";
import type { EventLog } from "../logs/event-log.ts";
import type { Sandbox } from "../sandbox.ts";
import { type Configuration, fetchChanges, readConfiguration, updateResult } from "./configuration.ts";
import type { GatewayClient, InferenceClient } from "./gateway-client.ts";
import { type BundledRoutes, bundledRoutes, inferenceLimits } from "./inference-bundle.ts";
import { fetchCredentials, type ProviderState, pushedCredentials } from "./provider-credentials.ts";

/** Pushed changes can be lost with a connection; a poll finds what is missing. Milliseconds. */
const POLL_INTERVAL = 10_000;
/** Every so many polls ask for the routes of `inference.local` too, which change seldom: a gateway of many sandboxes answers half as much. */
const POLLS_PER_BUNDLE = 6;

export interface KeeperOptions {
  readonly client: GatewayClient;
  readonly spec: SupervisorSpec;
  readonly sandbox: Sandbox;
  readonly log: EventLog;
  readonly advisor: PolicyAdvisor;
  /** What is in force when the keeper starts. */
  readonly applied: Configuration;
  readonly providers: ProviderState;
  /** Where routes of `inference.local` come from, and those that are in force already. */
  readonly inference: InferenceClient;
  readonly routes: BundledRoutes;
}

/** Keeps the sandbox at the gateway's desired state: pushed updates, and a poll as safety net. */
export class ConfigurationKeeper {
  readonly #options: KeeperOptions;
  #applied: Configuration;
  #routes: BundledRoutes;
  #polls = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#applied = options.applied;
    this.#routes = options.routes;
    this.#useSettings(options.applied);
  }

  /** What is in force. */
  get applied(): Configuration {
    return this.#applied;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#poll(), POLL_INTERVAL);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Applies a pushed update and says how that went; never rejects. */
  async apply(update: ConfigUpdate): Promise<MessageInitShape<typeof ConfigUpdateResultSchema>> {
    const { updateId, sandboxConfig, providerEnvironment, inferenceBundle } = update;
    if (inferenceBundle !== undefined) this.#useRoutes(bundledRoutes(inferenceBundle));
    if (providerEnvironment !== undefined) this.#options.providers.replace(pushedCredentials(providerEnvironment));
    if (sandboxConfig === undefined) return { updateId };
    try {
      this.#use(readConfiguration(sandboxConfig));
      return updateResult(updateId, this.#options.spec.instanceId, sandboxConfig);
    } catch (error) {
      const failure = OpenShellError.from(error);
      this.#failed(sandboxConfig.version, failure);
      return updateResult(updateId, this.#options.spec.instanceId, sandboxConfig, failure);
    }
  }

  async #poll(): Promise<void> {
    const { client, inference, spec } = this.#options;
    this.#polls += 1;
    const bundle = this.#polls % POLLS_PER_BUNDLE === 0 ? await inference.getInferenceBundle({}).catch(() => undefined) : undefined;
    if (bundle !== undefined) this.#useRoutes(bundledRoutes(bundle));
    const next = await fetchChanges(client, spec, this.#applied).catch(() => undefined);
    if (next === undefined) return;
    if (next.environmentRevision !== this.#options.providers.revision) {
      const provided = await fetchCredentials(client, spec).catch(() => undefined);
      if (provided !== undefined) this.#options.providers.replace(provided);
    }
    if ("unchanged" in next || next.revision === this.#applied.revision) return;
    let loadError = "";
    try {
      this.#use(next);
    } catch (error) {
      const failure = OpenShellError.from(error);
      this.#failed(next.version, failure);
      loadError = failure.message;
      // Known now: not tried again until it changes.
      this.#applied = { ...this.#applied, revision: next.revision };
    }
    const status = loadError === "" ? PolicyStatus.LOADED : PolicyStatus.FAILED;
    await client.reportPolicyStatus({ sandboxId: spec.sandboxId, version: next.version, status, loadError }).catch(() => undefined);
  }

  #use(next: Configuration): void {
    if (next.hash !== this.#applied.hash || next.version !== this.#applied.version) {
      this.#options.sandbox.enforce(
        next.policy,
        `policy version ${next.version} is in force (hash ${next.hash.slice(0, 12)})`,
        next.oneTimeRules,
      );
    }
    this.#applied = next;
    this.#useSettings(next);
  }

  /** For the next question; a program that runs keeps the variables it was started with. */
  #useRoutes(next: BundledRoutes): void {
    if (next.revision === this.#routes.revision) return;
    this.#routes = next;
    this.#options.sandbox.inference.use({ routes: next.routes, limits: inferenceLimits(this.#applied) });
  }

  #useSettings({ settings }: Configuration): void {
    this.#options.sandbox.inference.limits = inferenceLimits({ settings });
    this.#options.log.ocsf = settings.get("ocsf_json_enabled") === true;
    this.#options.advisor.enabled = settings.get("policy_advisor") !== "off";
  }

  #failed(version: number, failure: OpenShellError): void {
    const message = `policy version ${version} was not loaded, the last good one stays in force: ${failure.message}`;
    process.stderr.write(`openshell: ${message}\n`);
  }
}
