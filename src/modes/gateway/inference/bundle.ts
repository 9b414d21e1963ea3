import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { InferenceRoute } from "../../../inference/route.ts";
import {
  type GetInferenceBundleResponse,
  GetInferenceBundleResponseSchema,
  ResolvedRouteSchema,
} from "../../../rpc/gen/openshell/inference/v1/bundle_pb.ts";

/** A route that works, and what its state is made of. */
export interface CurrentRoute {
  readonly route: InferenceRoute;
  readonly version: number;
  readonly providerId: string;
  readonly providerVersion: number;
}

/** Routes with their credentials in clear: for a sandbox's supervisor and nobody else. `now`: milliseconds since the epoch. */
export function inferenceBundle(routes: readonly CurrentRoute[], now: number): GetInferenceBundleResponse {
  return create(GetInferenceBundleResponseSchema, {
    revision: revisionOf(routes),
    generatedTime: timestampFromMs(now),
    routes: routes.map(({ route }) =>
      create(ResolvedRouteSchema, {
        name: route.name,
        baseUrl: route.baseUrl.href,
        protocols: [...route.protocols],
        apiKey: route.key,
        modelId: route.model,
        providerType: route.provider.name,
        timeout: durationFromMs(route.timeoutMs),
        modelInPath: route.modelInPath,
        ...(route.requestPath === undefined ? {} : { requestPathOverride: route.requestPath }),
      }),
    ),
  });
}

/** Names a state of the routes. Made of versions, never of secrets: a hash of a secret lets guesses be tried. */
function revisionOf(routes: readonly CurrentRoute[]): string {
  const hash = createHash("sha256");
  for (const { route, version, providerId, providerVersion } of routes)
    hash.update(`${route.name} ${version} ${route.model} ${providerId} ${providerVersion}\n`);
  return hash.digest("hex").slice(0, 32);
}
