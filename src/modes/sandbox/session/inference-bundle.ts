import { durationMs } from "@bufbuild/protobuf/wkt";
import { isProtocol } from "../../../inference/protocols.ts";
import { providerType } from "../../../inference/provider-types.ts";
import { DEFAULT_TIMEOUT_MS, type InferenceRoute, readBaseUrl } from "../../../inference/route.ts";
import type { GetInferenceBundleResponse, ResolvedRoute } from "../../../rpc/gen/openshell/inference/v1/bundle_pb.ts";
import { DEFAULT_INFERENCE_LIMITS, type InferenceLimits } from "../inference/limits.ts";
import type { Configuration } from "./configuration.ts";

/** What the gateway's routes are, at one revision. */
export interface BundledRoutes {
  readonly revision: string;
  readonly routes: readonly InferenceRoute[];
}

/** The routes of a bundle. One that this version cannot use is left out: it would answer with something else than was meant. */
export function bundledRoutes({ revision, routes }: GetInferenceBundleResponse): BundledRoutes {
  return { revision, routes: routes.flatMap(toRoute) };
}

function toRoute(route: ResolvedRoute): InferenceRoute[] {
  const provider = providerType(route.providerType);
  const baseUrl = readBaseUrl(route.baseUrl);
  if (provider === undefined || baseUrl === undefined || route.modelId === "") return [];
  const timeoutMs = route.timeout === undefined ? 0 : durationMs(route.timeout);
  return [
    {
      ...{ name: route.name, provider, baseUrl, model: route.modelId, protocols: route.protocols.filter(isProtocol) },
      ...{ key: route.apiKey, timeoutMs: timeoutMs > 0 ? timeoutMs : DEFAULT_TIMEOUT_MS, modelInPath: route.modelInPath },
      ...(route.requestPathOverride === undefined ? {} : { requestPath: route.requestPathOverride }),
    },
  ];
}

/** The limits that the settings say. */
export function inferenceLimits({ settings }: Pick<Configuration, "settings">): InferenceLimits {
  const number = (key: string, fallback: number): number => {
    const value = settings.get(key);
    return typeof value === "bigint" ? Number(value) : fallback;
  };
  return {
    ...DEFAULT_INFERENCE_LIMITS,
    requestsPerMinute: number("inference_requests_per_minute", DEFAULT_INFERENCE_LIMITS.requestsPerMinute),
    tokensPerHour: number("inference_tokens_per_hour", DEFAULT_INFERENCE_LIMITS.tokensPerHour),
  };
}
