import type { Inspection } from "../../../../engine/decision.ts";
import type { Authority } from "../http1/authority.ts";
import type { EgressLimits } from "../limits.ts";
import type { ByteSocket } from "../relay.ts";
import type { StatementGate } from "../sql/watcher.ts";
import type { SandboxCa } from "../tls/sandbox-ca.ts";
import type { Gate, Secured } from "./gate.ts";
import type { UpstreamTarget } from "./upstream.ts";

/** What an inspected connection needs of the one that accepted it. */
export interface InspectionHost {
  gate(secured: Secured): Gate;
  /** The present state ends in `expire` after so many milliseconds; 0: never. */
  lasts(milliseconds: number): void;
  /** The connection is over for a reason that somebody should know: it emits the event. */
  refusedBytes(code: string, reason: string): void;
  /** The whole answer, in plain text, to bytes that are no requests where there must be some. */
  unsupported(reason: string): Buffer;
  /** From here on bytes pass that are not looked at; false: what allowed that was for another request. */
  passesUnread(): boolean;
  /** Bytes pass that cannot be inspected where requests are audited. */
  audited(code: string, reason: string): void;
  /** Decides and tells of the statements of a session with a database. */
  statements(database: string): StatementGate;
  /** Nothing is left. */
  inspectionEnded(): void;
}

export interface InspectionSetup {
  readonly client: ByteSocket;
  readonly authority: Authority;
  readonly plan: Inspection;
  readonly target: UpstreamTarget;
  readonly ca: SandboxCa;
  readonly limits: Pick<EgressLimits, "headMs" | "bodyMs" | "lingerMs">;
}
