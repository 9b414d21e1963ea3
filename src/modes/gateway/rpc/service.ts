import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext, Interceptor } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { Health } from "../../../rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection as ReflectionV1 } from "../../../rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionV1Alpha } from "../../../rpc/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { MAX_EXEC_REQUEST_BYTES, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES } from "../../../rpc/limits.ts";
import type { GatewayContext } from "../context.ts";
import type { Drafts } from "../drafts/drafts.ts";
import { draftHandlers } from "../drafts/handlers.ts";
import { inferenceHandlers } from "../inference/handlers.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { providerHandlers } from "../providers/handlers.ts";
import { configHandlers } from "./config.ts";
import { execHandlers } from "./exec.ts";
import { gatewayHandlers } from "./gateway.ts";
import { healthService } from "./health.ts";
import { logHandlers } from "./logs.ts";
import { observationHandlers } from "./observations.ts";
import { policyHandlers } from "./policies.ts";
import { reflectionService } from "./reflection.ts";
import { sandboxHandlers } from "./sandboxes.ts";
import type { Handlers } from "./service-impl.ts";
import { sshHandlers } from "./ssh.ts";
import { supervisorHandlers } from "./supervisor.ts";
import { watchHandlers } from "./watch.ts";
import { workspaceHandlers } from "./workspaces.ts";

/** Every group of handlers; a method in none of them answers that it is not available. */
const groups: readonly ((context: GatewayContext) => Handlers)[] = [
  gatewayHandlers,
  workspaceHandlers,
  sandboxHandlers,
  execHandlers,
  sshHandlers,
  watchHandlers,
  configHandlers,
  policyHandlers,
  providerHandlers,
  logHandlers,
  supervisorHandlers,
  observationHandlers,
];

const LARGE_REQUESTS: ReadonlySet<string> = new Set(["ExecSandbox", "ExecSandboxInteractive"]);

/** Bytes of strangers, mostly encrypted or compressed already: to compress them again costs ten times what it takes to pass them on. */
const BYTE_STREAMS: ReadonlySet<string> = new Set(["ForwardTcp", "RelayStream", "ExecSandbox", "ExecSandboxInteractive"]);

export interface RouteOptions {
  readonly drafts: Drafts;
  /** Decides by the method's own option who may call. */
  readonly gate: (context: HandlerContext) => Promise<void>;
  readonly interceptor: Interceptor;
  readonly metrics: Metrics;
}

const SERVICES: readonly DescService[] = [OpenShell, Inference, Health, ReflectionV1, ReflectionV1Alpha];

/** Registers every method of the API, each with its own request limit. */
export function routes(context: GatewayContext, { drafts, gate, interceptor, metrics }: RouteOptions): (router: ConnectRouter) => void {
  const handlers: Record<string, unknown> = Object.assign({}, ...groups.map((group) => group(context)), draftHandlers(context, drafts));
  const counted = async (call: HandlerContext): Promise<void> => {
    try {
      await gate(call);
    } catch (error) {
      metrics.refused(call.method.name, error);
      throw error;
    }
  };
  const reflection = reflectionService(SERVICES);
  return (router) => {
    const register = (service: DescService, implementation: object): void => {
      const handlers = implementation as Record<string, unknown>;
      for (const method of service.methods) {
        router.rpc(method, (handlers[method.localName] ?? unavailable(method)) as never, {
          readMaxBytes: LARGE_REQUESTS.has(method.name) ? MAX_EXEC_REQUEST_BYTES : MAX_REQUEST_BYTES,
          writeMaxBytes: MAX_RESPONSE_BYTES,
          ...(BYTE_STREAMS.has(method.name) ? { compressMinBytes: Number.MAX_SAFE_INTEGER } : {}),
          requestGate: counted,
          interceptors: [metrics.interceptor, interceptor],
        });
      }
    };
    register(OpenShell, handlers);
    register(Inference, inferenceHandlers(context));
    register(Health, healthService(context.store, new Set(SERVICES.map(({ typeName }) => typeName))));
    register(ReflectionV1, reflection);
    // The same messages under another package.
    register(ReflectionV1Alpha, reflection);
  };
}

function unavailable(method: DescMethod): () => never {
  return () => {
    throw new OpenShellError("unimplemented", `${method.name} is not available in this version of OpenShell`);
  };
}
