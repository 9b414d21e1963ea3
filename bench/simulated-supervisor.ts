/** A supervisor's side of its session, with the product's own client: it accepts every configuration, polls as real ones do, and runs nothing. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchConfiguration, updateResult } from "../src/modes/sandbox/session/configuration.ts";
import { connectGateway, type GatewayConnection } from "../src/modes/sandbox/session/gateway-client.ts";
import { SupervisorSession } from "../src/modes/sandbox/session/supervisor-session.ts";
import type { ConfigUpdate } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../src/supervisor-spec.ts";

/** As `ConfigurationKeeper` does. Milliseconds. */
const POLL_INTERVAL = 10_000;
const POLLS_PER_BUNDLE = 6;

export class SimulatedSupervisor {
  connected = false;
  /** Versions of the policy that were pushed, the one for all sandboxes as a negative number. */
  readonly versions: number[] = [];
  readonly #connection: GatewayConnection;
  readonly #session: SupervisorSession;
  readonly #spec: SupervisorSpec;
  #polls = 0;
  #poll: ReturnType<typeof setInterval> | undefined;

  /** `directory`: of the sandbox, as the driver made it. */
  constructor(directory: string) {
    const spec = JSON.parse(readFileSync(join(directory, "run/spec.json"), "utf8")) as SupervisorSpec;
    this.#spec = spec;
    this.#connection = connectGateway(spec.gateway);
    this.#session = new SupervisorSession(this.#connection.client, {
      hello: () => ({ sandboxId: spec.sandboxId, instanceId: spec.instanceId }),
      applyConfig: async (update) => this.#apply(update),
      openRelay: () => Promise.reject(new Error("nothing runs here")),
      connected: () => {
        this.connected = true;
      },
      disconnected: () => {
        this.connected = false;
        this.#connection.renew();
      },
    });
    void this.#session.run();
    // Sandboxes start at different moments; so do their polls.
    setTimeout(() => {
      this.#poll = setInterval(() => void this.#ask(), POLL_INTERVAL);
    }, Math.random() * POLL_INTERVAL).unref();
  }

  get name(): string {
    return this.#spec.sandboxName;
  }

  stop(): void {
    clearInterval(this.#poll);
    this.#session.stop();
  }

  #apply({ updateId, sandboxConfig }: ConfigUpdate): ReturnType<typeof updateResult> {
    if (sandboxConfig === undefined) return { updateId };
    this.versions.push(sandboxConfig.globalPolicyVersion > 0 ? -sandboxConfig.globalPolicyVersion : sandboxConfig.version);
    return updateResult(updateId, this.#spec.instanceId, sandboxConfig);
  }

  async #ask(): Promise<void> {
    const { client, inference } = this.#connection;
    this.#polls += 1;
    if (this.#polls % POLLS_PER_BUNDLE === 0) await inference.getInferenceBundle({}).catch(() => undefined);
    await fetchConfiguration(client, this.#spec).catch(() => undefined);
  }
}
