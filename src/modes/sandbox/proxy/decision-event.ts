import { isIP } from "node:net";
import type { Actor, HttpEvent, NetworkEvent } from "../../../events/event.ts";
import { DIRECT_CONNECTION_HINT } from "./capture/hints.ts";
import type { Authority } from "./http1/authority.ts";
import type { Intent } from "./intent.ts";
import type { Denied, Verdict } from "./verdict.ts";

/** The one event of a connection that was let through and dialled. */
export function allowedEvent(intent: Intent, actor: Actor, verdict: Verdict & { allowed: true }, address: string): NetworkEvent {
  return {
    kind: "network",
    time: Date.now(),
    severity: "informational",
    activity: "open",
    action: "allowed",
    actor,
    host: intent.authority.host,
    port: intent.authority.port,
    protocol: "tcp",
    // A name where the upstream proxy resolves it.
    ...(isIP(address) === 0 ? {} : { address }),
    policy: verdict.policy,
    engine: verdict.local?.engine ?? "opa",
  };
}

/** A program reached its sandbox's own gateway, past every policy. */
export function controlPlaneEvent({ authority }: Intent, actor: Actor): NetworkEvent {
  const { host, port } = authority;
  return {
    ...{ kind: "network", time: Date.now(), severity: "informational", activity: "open", action: "allowed", actor, host, port },
    ...{ protocol: "tcp", engine: "control_plane" },
  };
}

/** A call to the sandbox's own gateway, `METHOD PATH`, and what became of it. */
export function controlPlaneCall({ authority }: Intent, actor: Actor, line: string, status: { code: number; message: string }): HttpEvent {
  const { host, port } = authority;
  const [method = "", path = ""] = line.split(" ", 2);
  const refused = status.code !== 0;
  return {
    ...{ kind: "http", time: Date.now(), severity: refused ? "low" : "informational", action: refused ? "denied" : "allowed" },
    ...{
      method: method.slice(0, MAX_PATH),
      url: `https://${host}:${port}${path.slice(0, MAX_PATH)}`,
      actor,
      host,
      port,
      engine: "control_plane",
    },
    ...(refused ? { code: `grpc_${status.code}`, reason: status.message } : {}),
  };
}

/** Enough for every method's path. */
const MAX_PATH = 200;

/** The one event of a connection that was refused, or that the network refused after policy had allowed it. */
export function refusedEvent(intent: Intent, actor: Actor | undefined, denied: Denied): NetworkEvent {
  const failed = denied.failed === true;
  return {
    kind: "network",
    time: Date.now(),
    severity: failed ? "low" : "medium",
    activity: failed ? "fail" : intent.stage === "bypass" ? "refuse" : "open",
    action: failed ? "allowed" : "denied",
    host: intent.authority.host,
    port: intent.authority.port,
    protocol: "tcp",
    engine: denied.engine,
    reason: intent.stage === "bypass" && !failed ? `${denied.reason}; ${DIRECT_CONNECTION_HINT}` : denied.reason,
    code: denied.code,
    ...(actor === undefined ? {} : { actor }),
    ...(denied.stage === undefined ? {} : { stage: denied.stage }),
    ...(denied.policy === undefined ? {} : { policy: denied.policy }),
    ...(denied.address === undefined ? {} : { address: denied.address }),
  };
}

/** An established connection that a new policy no longer permits. */
export function closedEvent(intent: Intent, actor: Actor, denied: Denied): NetworkEvent {
  const { stage: _stage, ...event } = refusedEvent(intent, actor, denied);
  return { ...event, activity: "close" };
}

/** A request that could not be read, or that there was no room for; the destination is known only of a captured connection. */
export function unreadEvent(actor: Actor | undefined, code: string, reason: string, to: Authority = { host: "", port: 0 }): NetworkEvent {
  return {
    kind: "network",
    time: Date.now(),
    severity: "low",
    activity: "refuse",
    action: "denied",
    host: to.host,
    port: to.port,
    protocol: "tcp",
    engine: "limits",
    code,
    reason,
    ...(actor === undefined ? {} : { actor }),
  };
}
