import type { TokenIssuer } from "./auth/tokens.ts";
import type { Bus } from "./bus.ts";
import type { ComputeDriver } from "./drivers/driver.ts";
import type { InferenceRoutes } from "./inference/service.ts";
import type { Log } from "./log.ts";
import type { LogService } from "./logs/service.ts";
import type { GatewayOptions } from "./options.ts";
import type { GlobalPolicyService } from "./policies/global.ts";
import type { PolicyService } from "./policies/service.ts";
import type { ProviderService } from "./providers/service.ts";
import type { RelayRegistry } from "./relay/relays.ts";
import type { SessionRegistry } from "./relay/sessions.ts";
import type { SshSessions } from "./relay/ssh-sessions.ts";
import type { Replay } from "./rpc/replay.ts";
import type { SandboxService } from "./sandboxes/service.ts";
import type { SettingsService } from "./settings/service.ts";
import type { Store } from "./store/database.ts";
import type { SandboxRepository } from "./store/sandboxes.ts";

/** What the handlers of the API work with. */
export interface GatewayContext {
  readonly options: GatewayOptions;
  readonly clock: { now(): number };
  readonly log: Log;
  readonly store: Store;
  readonly repository: SandboxRepository;
  readonly sandboxes: SandboxService;
  readonly policies: PolicyService;
  readonly globalPolicy: GlobalPolicyService;
  readonly settings: SettingsService;
  readonly providers: ProviderService;
  readonly inference: InferenceRoutes;
  /** Patterns of the hosts to which credentials of a sandbox's providers may be sent. */
  readonly credentialedHosts: (sandboxId: string) => readonly string[];
  readonly logs: LogService;
  readonly bus: Bus;
  readonly sessions: SessionRegistry;
  readonly relays: RelayRegistry;
  readonly sshSessions: SshSessions;
  readonly tokens: TokenIssuer;
  readonly driver: ComputeDriver;
  /** Looks a name up, once and absolutely. */
  readonly resolver: (host: string) => Promise<readonly string[]>;
  /** Where the gateway itself can be reached; no proposal may lead there. */
  readonly ownEndpoint: { readonly hosts: readonly string[]; readonly port: number };
  readonly replay: Replay["later"];
  readonly once: Replay["once"];
  readonly streamed: Replay["streamed"];
}
