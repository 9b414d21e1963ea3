import { readFileSync } from "node:fs";
import { type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import { endingTransport } from "./ending-transport.ts";
import { retiringTransport } from "./retiring-transport.ts";
import { SupervisorToken } from "./supervisor-token.ts";
import { WatchedSessionManager } from "./watched-session-manager.ts";

export type GatewayClient = Client<typeof OpenShell>;
export type InferenceClient = Client<typeof Inference>;

/** The gateway refuses larger requests; a client that sends them anyway would hang (Bun's HTTP/2 client). */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** HTTP/2 pings tell a dead connection from a quiet one; where the poll of the configuration is answered none is needed. Milliseconds. */
const PING_INTERVAL = 12_000;

/** A gateway that is slow for a while keeps its connections: to make them all anew would make it slower. Milliseconds. */
const PING_TIMEOUT = 20_000;

export interface GatewayConnection {
  readonly client: GatewayClient;
  readonly inference: InferenceClient;
  readonly token: SupervisorToken;
  /** Lets later calls use a connection of their own; those that run keep theirs. */
  renew(): void;
}

/** The supervisor's own connection: the gateway's CA and this sandbox's token, never a client certificate. */
export function connectGateway(gateway: SupervisorSpec["gateway"]): GatewayConnection {
  const token = new SupervisorToken(gateway.tokenFile);
  const authenticate: Interceptor = (next) => async (request) => {
    request.header.set("authorization", `Bearer ${token.value}`);
    try {
      return await next(request);
    } catch (error) {
      // The driver rewrites the token when a restarted gateway adopts this sandbox.
      if (error instanceof ConnectError && error.code === Code.Unauthenticated) token.reload();
      throw error;
    }
  };
  const { transport, renew } = gatewayTransport(gateway, [authenticate]);
  return { client: createClient(OpenShell, transport), inference: createClient(Inference, transport), token, renew };
}

/**
 * A connection to the gateway, made when it is needed and anew when it is lost. It trusts the gateway's CA alone and presents nothing but
 * what the interceptors add: there is no client certificate.
 */
export function gatewayTransport(
  gateway: Pick<SupervisorSpec["gateway"], "endpoint" | "endpointFile" | "caFile">,
  interceptors: Interceptor[],
): { readonly transport: Transport; renew(): void } {
  const pings = { pingIntervalMs: PING_INTERVAL, pingTimeoutMs: PING_TIMEOUT, pingIdleConnection: true };
  // Read once: the file goes with the sandbox, and a connection that is lost then must not end in an error of ours.
  const tls = { ca: readFileSync(gateway.caFile), rejectUnauthorized: true };
  const open = (): Connection => {
    const baseUrl = presentEndpoint(gateway);
    const sessionManager = new WatchedSessionManager(baseUrl, pings, tls);
    const options = { baseUrl, sessionManager, interceptors, writeMaxBytes: MAX_REQUEST_BYTES };
    const { lost } = sessionManager;
    const { transport, retire } = retiringTransport(endingTransport(createGrpcTransport(options), lost), () => sessionManager.abort());
    const opened = { transport, retire };
    // A call after the end of a connection belongs on the next one.
    void lost.then(() => {
      if (current === opened) current = open();
    });
    return opened;
  };
  let current = open();
  const transport: Transport = {
    unary: (...call) => current.transport.unary(...call),
    stream: (...call) => current.transport.stream(...call),
  };
  return {
    transport,
    // A manager whose connection broke at a bad moment may wait for it for ever.
    renew: () => {
      current.retire();
      current = open();
    },
  };
}

/** Where the gateway is; where it was at the start when that cannot be read, as when the sandbox's files are just going. */
function presentEndpoint({ endpoint, endpointFile }: Pick<SupervisorSpec["gateway"], "endpoint" | "endpointFile">): string {
  if (endpointFile === undefined) return endpoint;
  try {
    const present = readFileSync(endpointFile, "utf8").trim();
    return URL.canParse(present) ? present : endpoint;
  } catch {
    return endpoint;
  }
}

interface Connection {
  readonly transport: Transport;
  /** No new calls come: the connection is closed with the last that runs. */
  retire(): void;
}
