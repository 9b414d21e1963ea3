import type { Authority } from "./http1/authority.ts";

/** A name that OpenShell answers itself; it never reaches the policy, the resolver or a proposal. */
export interface ReservedAnswer {
  readonly status: 403 | 503;
  readonly error: string;
  readonly engine: "control_plane" | "opa";
  readonly detail: string;
  readonly next: string;
}

const INTERNAL_SUFFIX = ".openshell.internal";

/** Names that every sandbox can resolve, however many others it has asked for. */
export const RESERVED_NAMES = ["gateway.openshell.internal", "inference.local", "policy.local"] as const;

/** What to answer for a reserved name; undefined for every other. `controlPlane` is where the sandbox's own gateway is offered. */
export function reservedAnswer({ host, port }: Authority, controlPlane: Authority | undefined): ReservedAnswer | undefined {
  if (controlPlane !== undefined && host === controlPlane.host && port === controlPlane.port)
    return {
      status: 503,
      error: "control_plane_unavailable",
      engine: "control_plane",
      detail: "the gateway takes no further connection of this kind: too many are open, or this is no tunnel",
      next: "use one connection, by gRPC over TLS",
    };
  if (host === "inference.local" && port !== 443 && port !== 80)
    return {
      status: 403,
      error: "reserved_name",
      engine: "opa",
      detail: "inference.local is offered at ports 443 and 80",
      next: "use https://inference.local/v1",
    };
  if (host === "inference.local")
    return {
      status: 503,
      error: "inference_unavailable",
      engine: "opa",
      detail: "no inference route is configured",
      next: "ask the person who owns the sandbox to run: openshell inference set",
    };
  if (host === "policy.local" || host.endsWith(INTERNAL_SUFFIX))
    return { status: 403, error: "reserved_name", engine: "opa", detail: `${host} is reserved by OpenShell`, next: "use another name" };
  return undefined;
}
