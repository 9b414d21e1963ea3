import type { Authority } from "../proxy/http1/authority.ts";
import type { ByteSocket } from "../proxy/relay.ts";
import type { SandboxCa } from "../proxy/tls/sandbox-ca.ts";
import { ControlPlaneConnection, type ControlPlaneHost } from "./connection.ts";
import type { AgentRelay } from "./relay.ts";

/** The name of the gateway inside every sandbox. Never a loopback address: `NO_PROXY` would keep programs from asking the proxy for it. */
export const CONTROL_PLANE_HOST = "gateway.openshell.internal";

/** A client needs one; each may hold a hundred requests that are not complete. */
const MAX_CONNECTIONS = 32;

/** Where the gateway is offered inside a sandbox, and what answers there. */
export interface ControlPlane {
  readonly authority: Authority;
  /** Undefined: there are too many. */
  open(client: ByteSocket, headMs: number, host: ControlPlaneHost): ControlPlaneConnection | undefined;
}

/** `port` is the gateway's own, so that an endpoint inside reads like the one outside. */
export function controlPlane(port: number, relay: AgentRelay, ca: SandboxCa): ControlPlane {
  let connections = 0;
  return {
    authority: { host: CONTROL_PLANE_HOST, port },
    open(client, headMs, host) {
      if (connections >= MAX_CONNECTIONS) return undefined;
      connections += 1;
      const ended = () => {
        connections -= 1;
        host.ended();
      };
      const certificate = ca.context(CONTROL_PLANE_HOST);
      return new ControlPlaneConnection({ client, certificate, relay, headMs, host: { ...host, ended } });
    },
  };
}
