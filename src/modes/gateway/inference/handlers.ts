import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { upstreamAuthorities } from "../../../authorities.ts";
import { OpenShellError } from "../../../error.ts";
import type { Reach } from "../../../inference/provider-client.ts";
import {
  DeleteInferenceRouteResponseSchema,
  type Inference,
  SetInferenceRouteResponseSchema,
} from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { DeletionOutcome } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { readUpstreamProxy, routeThrough } from "../../../upstream-proxy/settings.ts";
import { sandboxPrincipal } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { invalid } from "../sandboxes/limits.ts";
import { oneWorkspace } from "../sandboxes/workspace.ts";
import type { StoredRoute } from "./repository.ts";
import { routeName } from "./service.ts";
import { verifyRoute } from "./verify.ts";

/** Routes behind `inference.local`: set, shown and removed by people, fetched by supervisors. */
export function inferenceHandlers(context: GatewayContext): ServiceImpl<typeof Inference> {
  const { inference, sessions, store, replay, repository, logs, options, resolver } = context;
  // Providers are the operator's words, and only verified names are spoken to.
  const reach = (): Reach => ({
    resolve: resolver,
    authorities: upstreamAuthorities(options.upstreamCa),
    ...(options.upstreamProxy && { proxy: routeThrough(readUpstreamProxy(options.upstreamProxy)) }),
  });
  const changed = (workspace: string, message: string): void => {
    for (const sandbox of repository.all()) {
      if (sandbox.workspace !== workspace || sessions.get(sandbox.id) === undefined) continue;
      sessions.pushConfig(sandbox.id);
      logs.gateway(sandbox.id, "INFO", message);
    }
  };
  return {
    setInferenceRoute(request, call) {
      const workspace = oneWorkspace(request.workspaceScope);
      if (request.verify && request.noVerify) throw invalid("no_verify", "contradicts verify");
      const { providerName: provider, modelId: model, routeName: name } = request;
      const timeout = request.timeout === undefined ? 0 : durationMs(request.timeout);
      const { stored, route } = inference.check({ workspace, name, provider, model, timeout });
      return replay(request, call, async (remember) => {
        const endpoint = request.noVerify ? undefined : await verifyRoute(route, reach());
        const validated = endpoint === undefined ? [] : [endpoint];
        const answer = store.transaction(() => {
          // The provider may have changed while it was asked; the route is stored for the one there is now.
          inference.check({ workspace, name, provider, model, timeout });
          const put = inference.put(stored);
          const response = create(SetInferenceRouteResponseSchema, {
            ...routeFields(put),
            validationPerformed: validated.length > 0,
            validatedEndpoints: validated.map((endpoint) => ({ ...endpoint })),
          });
          remember(response);
          return response;
        });
        changed(workspace, `inference route ${stored.name}: model ${model} of provider ${provider}`);
        return answer;
      });
    },
    getInferenceRoute(request) {
      const stored = inference.get(oneWorkspace(request.workspaceScope), routeName(request.routeName));
      if (stored === undefined) throw unset(routeName(request.routeName));
      return routeFields(stored);
    },
    deleteInferenceRoute(request) {
      const workspace = oneWorkspace(request.workspaceScope);
      const name = routeName(request.routeName);
      const existed = inference.delete(workspace, name);
      if (!existed && !request.allowMissing) throw unset(name);
      if (existed) changed(workspace, `inference route ${name} removed`);
      return create(DeleteInferenceRouteResponseSchema, { outcome: existed ? DeletionOutcome.COMPLETED : DeletionOutcome.ALREADY_ABSENT });
    },
    getInferenceBundle: (_request, call) => inference.bundle(sandboxPrincipal(call).workspace),
  };
}

function routeFields({ workspace, name, provider, model, timeout, version }: StoredRoute) {
  return {
    ...{ providerName: provider, modelId: model, version: BigInt(version), routeName: name },
    ...{ timeout: durationFromMs(timeout), workspace },
  };
}

function unset(name: string): OpenShellError {
  return new OpenShellError("not_found", `inference route '${name}' is not set`, {
    next: "openshell inference set --provider NAME --model ID",
  });
}
