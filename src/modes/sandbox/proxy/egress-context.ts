import type { RequestEngine } from "../../../engine/decision.ts";
import type { EventSink } from "../../../events/event.ts";
import type { ControlPlane } from "../control-plane/entrance.ts";
import type { Credentials } from "../credentials/model.ts";
import type { AnsweredSink } from "./answered.ts";
import type { BinaryTrust } from "./binary-trust.ts";
import type { DestinationRules } from "./destination/permission.ts";
import type { Resolver } from "./destination/resolver.ts";
import type { SyntheticNames } from "./dns/synthetic-names.ts";
import type { EgressLimits } from "./limits.ts";
import type { LocalService } from "./local-service.ts";
import type { OneTimeUse } from "./one-time-rules.ts";
import type { SandboxCa } from "./tls/sandbox-ca.ts";
import type { UpstreamProxy } from "./upstream-proxy/upstream-proxy.ts";

/** What every connection of one proxy works with. */
export interface EgressContext {
  readonly engine: RequestEngine;
  readonly emit: EventSink;
  /** Absent: nobody wants to know. */
  readonly answered: AnsweredSink | undefined;
  readonly trust: BinaryTrust;
  readonly resolver: Resolver;
  readonly destinations: DestinationRules;
  /** What addresses of the sandbox's own resolver stand for. */
  readonly names: SyntheticNames | undefined;
  /** What everything leaves by that it does not except. */
  readonly upstreamProxy: UpstreamProxy | undefined;
  readonly controlPlane: ControlPlane | undefined;
  /** Answers for `inference.local`. */
  readonly inference: LocalService | undefined;
  readonly limits: EgressLimits;
  /** Ends the TLS of clients. */
  readonly ca: SandboxCa;
  /** What servers are verified against, PEM. */
  readonly authorities: readonly string[];
  /** Rules that hold for one request. */
  readonly oneTime: OneTimeUse;
  /** What placeholders in requests stand for. */
  readonly credentials: Credentials;
}
