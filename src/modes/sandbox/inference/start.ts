import { join } from "node:path";
import type { EventSink } from "../../../events/event.ts";
import { Resolver } from "../proxy/destination/resolver.ts";
import { actorOf } from "../proxy/identity.ts";
import type { LocalService } from "../proxy/local-service.ts";
import type { UpstreamProxy } from "../proxy/upstream-proxy/upstream-proxy.ts";
import { InferenceGate, isInferenceAuthority } from "./gate.ts";
import { DEFAULT_INFERENCE_LIMITS } from "./limits.ts";
import { type InferenceServer, serveInference } from "./server.ts";
import { InferenceService, type InferenceSettings } from "./service.ts";

/** Nobody has set a route. */
export const NO_INFERENCE: InferenceSettings = { routes: [], limits: DEFAULT_INFERENCE_LIMITS };

export interface InferencePlan {
  readonly settings: InferenceSettings;
  /** Private to the supervisor; its socket is made there. */
  readonly runDirectory: string;
  /** What providers are verified against, PEM. */
  readonly authorities: readonly string[];
  /** What providers are reached through, where it takes them. */
  readonly via?: UpstreamProxy | undefined;
  readonly emit: EventSink;
}

/** `inference.local` of one sandbox. */
export interface Inference extends Disposable {
  readonly service: InferenceService;
  /** For the proxy. */
  readonly local: LocalService;
}

/** Nothing listens before the first program asks: most sandboxes never do. */
export function openInference({ settings, runDirectory, authorities, via, emit }: InferencePlan): Inference {
  // Hosts of routes are the operator's words, never an agent's: they may be private, or this machine.
  const resolver = new Resolver({ hostsFile: "/etc/hosts" });
  const resolve = async (host: string) => resolver.known(host) ?? (await resolver.resolve(host));
  const service = new InferenceService({ settings, authorities, emit, resolve, via });
  let server: InferenceServer | undefined;
  const listening = () => {
    server ??= serveInference(service, join(runDirectory, "inference.sock"));
    return server;
  };
  return {
    service,
    local: {
      engine: "inference",
      serves: isInferenceAuthority,
      get socketPath() {
        return listening().socketPath;
      },
      gate: (program, { host, port }, { scheme, misdirected }) =>
        new InferenceGate({ caller: { actor: actorOf(program), scheme, host, port }, server: listening(), emit, misdirected }),
    },
    [Symbol.dispose]() {
      server?.[Symbol.dispose]();
      service[Symbol.dispose]();
    },
  };
}
