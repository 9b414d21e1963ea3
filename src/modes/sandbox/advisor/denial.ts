import type { DenialStage, SecurityEvent } from "../../../events/event.ts";
import { type Asked, askedBy, pathOf } from "./asked.ts";

/** One refused attempt that a rule could allow, as the aggregator takes it. */
export interface Denial {
  readonly time: number;
  readonly host: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly binary: string;
  readonly ancestors: readonly string[];
  readonly sha256: string;
  readonly commandLine: string;
  readonly reason: string;
  readonly code: string;
  readonly stage: DenialStage;
  /** Address that was refused, or that policy had let the supervisor find. */
  readonly address: string;
  readonly method?: string;
  readonly path?: string;
  /** `deny` or `audit`; with a method and path. */
  readonly decision: "deny" | "audit";
  /** What a denied request asked for. */
  readonly asked?: readonly Asked[];
}

/** Refusals that no rule changes: the request or the engine was at fault. */
const NOT_A_MATTER_OF_RULES: ReadonlySet<string> = new Set(["malformed", "engine_failure"]);

/** The denial in an event; undefined for events that are none, or that name no program or destination. */
export function denialOf(event: SecurityEvent): Denial | undefined {
  if ((event.kind !== "network" && event.kind !== "http") || event.stage === undefined || event.actor === undefined) return undefined;
  if (event.action !== "denied" && event.stage !== "l7_audit") return undefined;
  if (event.host === "" || event.port < 1 || event.port > 65_535 || NOT_A_MATTER_OF_RULES.has(event.code ?? "")) return undefined;
  return {
    time: event.time,
    host: event.host,
    port: event.port,
    protocol: event.kind === "network" ? event.protocol : "tcp",
    binary: event.actor.binary,
    ancestors: event.actor.ancestors,
    sha256: event.actor.sha256 ?? "",
    commandLine: event.actor.commandLine ?? "",
    reason: event.reason ?? "",
    code: event.code ?? "",
    stage: event.stage,
    address: (event.kind === "network" ? event.address : undefined) ?? "",
    decision: event.stage === "l7_audit" ? "audit" : "deny",
    ...(event.kind === "http" ? { method: event.method, path: pathOf(event.url), asked: askedBy(event) } : {}),
  };
}
