import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { OpenShellError } from "../../../error.ts";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES } from "../../../rpc/limits.ts";
import { readCertificates } from "./registry.ts";
import type { GatewayTarget } from "./target.ts";

export type OpenShellClient = Client<typeof OpenShell>;
export type InferenceClient = Client<typeof Inference>;

/** What a gateway adds around its largest answer: the envelope and room for other gateways' 4 MiB. */
const READ_ALLOWANCE_BYTES = 1024 * 1024;
/** As the published clients; also notices a gateway that is gone while a watch is quiet. */
const PING_INTERVAL_MS = 10_000;

/** An open connection; nothing is sent before the first call. */
export interface Connection {
  readonly client: OpenShellClient;
  readonly inference: InferenceClient;
  close(): void;
}

/**
 * gRPC to a gateway. TLS trusts the registration's own CA and nothing else, always verified; a request above the gateway's limit fails here,
 * because Bun's HTTP/2 client hangs later calls after a server has refused one for its size.
 */
export function openConnection(target: GatewayTarget): Connection {
  const secure = target.endpoint.startsWith("https:");
  const certificates = secure ? readCertificates(target.directory) : undefined;
  if (secure && certificates === undefined) {
    throw new OpenShellError("failed_precondition", `no CA certificate for gateway '${target.name}' (${target.directory}/mtls/ca.crt)`, {
      next: `openshell gateway add ${target.endpoint} --name ${target.name} --ca FILE --cert FILE --key FILE`,
    });
  }
  const { ca, cert, key } = certificates ?? { ca: undefined };
  const tls = ca === undefined ? {} : { ca, rejectUnauthorized: true, ...(cert !== undefined && key !== undefined ? { cert, key } : {}) };
  const sessionManager = new Http2SessionManager(target.endpoint, { pingIntervalMs: PING_INTERVAL_MS }, tls);
  const transport = createGrpcTransport({
    baseUrl: target.endpoint,
    sessionManager,
    writeMaxBytes: MAX_REQUEST_BYTES,
    readMaxBytes: MAX_RESPONSE_BYTES + READ_ALLOWANCE_BYTES,
  });
  return { client: createClient(OpenShell, transport), inference: createClient(Inference, transport), close: () => sessionManager.abort() };
}
