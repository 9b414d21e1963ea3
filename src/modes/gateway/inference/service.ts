import {
  DEFAULT_ROUTE,
  DEFAULT_TIMEOUT_MS,
  type InferenceRoute,
  MAX_MODEL_CHARACTERS,
  MAX_TIMEOUT_SECONDS,
  SYSTEM_ROUTE,
} from "../../../inference/route.ts";
import type { GetInferenceBundleResponse } from "../../../rpc/gen/openshell/inference/v1/bundle_pb.ts";
import type { ProviderService } from "../providers/service.ts";
import { atMost, invalid } from "../sandboxes/limits.ts";
import { type CurrentRoute, inferenceBundle } from "./bundle.ts";
import type { RouteRepository, StoredRoute } from "./repository.ts";
import { resolveRoute } from "./resolve.ts";

/** What a person asks for. */
export interface RouteRequest {
  readonly workspace: string;
  /** Empty: `inference.local`. */
  readonly name: string;
  readonly provider: string;
  readonly model: string;
  /** Milliseconds; 0: the default. */
  readonly timeout: number;
}

/** Routes behind `inference.local`, as they are set, and as they are in force. */
export interface InferenceRoutes {
  get(workspace: string, name: string): StoredRoute | undefined;
  /** Checks a request; throws `invalid_argument`, or `failed_precondition` when its provider cannot serve it. */
  check(request: RouteRequest): { readonly stored: Omit<StoredRoute, "version">; readonly route: InferenceRoute };
  put(route: Omit<StoredRoute, "version">): StoredRoute;
  delete(workspace: string, name: string): boolean;
  /** What a sandbox's supervisor needs; a route whose provider cannot serve it any more is left out. */
  bundle(workspace: string): GetInferenceBundleResponse;
  /** Names of routes that use a provider. */
  usersOf(workspace: string, provider: string): string[];
}

/** The route's name, or `invalid_argument`. */
export function routeName(name: string): string {
  if (name === "" || name === DEFAULT_ROUTE) return DEFAULT_ROUTE;
  if (name === SYSTEM_ROUTE) return SYSTEM_ROUTE;
  throw invalid("route_name", `is '${DEFAULT_ROUTE}' or '${SYSTEM_ROUTE}'`);
}

export function inferenceRoutes(
  repository: RouteRepository,
  providers: Pick<ProviderService, "providerCredential">,
  clock: { now(): number },
): InferenceRoutes {
  const current = (stored: StoredRoute): CurrentRoute[] => {
    const credential = providers.providerCredential(stored.workspace, stored.provider);
    if (credential === undefined) return [];
    try {
      const { id, resourceVersion } = credential;
      return [{ route: resolveRoute(stored, credential), version: stored.version, providerId: id, providerVersion: resourceVersion }];
    } catch {
      // Who sets a route is told; a provider that was changed since has nobody to tell but the programs that ask.
      return [];
    }
  };
  return {
    get: (workspace, name) => repository.get(workspace, name),
    check({ workspace, name, provider, model, timeout }) {
      if (provider === "") throw invalid("provider_name", "is required");
      if (model.trim() === "") throw invalid("model_id", "is required");
      atMost("model_id", model.length, MAX_MODEL_CHARACTERS, "characters");
      if (!/^[\x21-\x7e]+$/.test(model)) throw invalid("model_id", "has visible ASCII characters only");
      if (timeout < 0 || timeout > MAX_TIMEOUT_SECONDS * 1000)
        throw invalid("timeout", `is from 0 (the default) to ${MAX_TIMEOUT_SECONDS} s`);
      const stored = { workspace, name: routeName(name), provider, model, timeout: timeout === 0 ? DEFAULT_TIMEOUT_MS : timeout };
      return { stored, route: resolveRoute(stored, providers.providerCredential(workspace, provider)) };
    },
    put: (route) => repository.put(route),
    delete: (workspace, name) => repository.delete(workspace, name),
    bundle: (workspace) => inferenceBundle(repository.list(workspace).flatMap(current), clock.now()),
    usersOf: (workspace, provider) =>
      repository
        .list(workspace)
        .filter((route) => route.provider === provider)
        .map(({ name }) => name),
  };
}
