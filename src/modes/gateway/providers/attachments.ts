import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import {
  AttachSandboxProviderResponseSchema,
  DetachSandboxProviderResponseSchema,
  ProviderMutationKind,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import { pageSize, pageToken, readPageToken } from "../rpc/paging.ts";
import type { Handlers } from "../rpc/service-impl.ts";
import { acceptsCommands, isComingUp } from "../sandboxes/lifecycle.ts";
import { invalid } from "../sandboxes/limits.ts";
import { toSandbox } from "../sandboxes/view.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { withoutProvider, withProvider } from "./attach.ts";
import { readinessOf, receiptOf } from "./readiness.ts";
import { toProvider } from "./view.ts";

/** Which sandbox may use which provider, and whether its supervisor does already. */
export function attachmentHandlers(context: GatewayContext): Handlers {
  const { sandboxes, providers, sessions, once, logs } = context;
  const atVersion = (record: SandboxRecord, expected: bigint): void => {
    if (expected === 0n || expected === BigInt(record.resourceVersion)) return;
    throw new OpenShellError("aborted", `the sandbox is at resource version ${record.resourceVersion}, not ${expected}`);
  };
  const changed = (id: string, message: string): void => {
    sessions.pushConfig(id);
    logs.gateway(id, "INFO", message);
  };
  return {
    listSandboxProviders(request) {
      const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
      const attached = providers.attachedTo(record);
      const size = pageSize(request.pageSize);
      const parameters = [record.id];
      const from = Number(readPageToken(request.pageToken, parameters)?.[0] ?? 0);
      const page = attached.slice(from, from + size);
      const more = from + page.length < attached.length;
      return { providers: page.map(toProvider), nextPageToken: more ? pageToken([String(from + page.length)], parameters) : "" };
    },
    attachSandboxProvider(request, call) {
      const { id } = sandboxes.find(request.workspaceScope, request.sandbox);
      const response = once(request, call, () => {
        const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
        atVersion(record, request.expectedResourceVersion);
        if (!acceptsCommands(record.status) && !isComingUp(record.status))
          throw new OpenShellError("failed_precondition", "sandbox is not ready", { next: `openshell sandbox start ${record.name}` });
        const spec = withProvider(record, providers.find(request.workspaceScope, request.provider));
        const after = (spec && sandboxes.patch(id, { spec })) ?? record;
        const receipt = receiptOf(context, ProviderMutationKind.ATTACH, after, request.provider);
        return create(AttachSandboxProviderResponseSchema, {
          sandbox: toSandbox(after, context.sessions),
          attached: spec !== undefined,
          receipt,
        });
      });
      if (response.attached) changed(id, `provider ${request.provider} attached`);
      return response;
    },
    detachSandboxProvider(request, call) {
      const { id } = sandboxes.find(request.workspaceScope, request.sandbox);
      const response = once(request, call, () => {
        const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
        atVersion(record, request.expectedResourceVersion);
        if (request.provider === "") throw invalid("provider", "is required");
        const spec = withoutProvider(record, request.provider);
        const after = (spec && sandboxes.patch(id, { spec })) ?? record;
        const receipt = receiptOf(context, ProviderMutationKind.DETACH, after, request.provider);
        return create(DetachSandboxProviderResponseSchema, {
          sandbox: toSandbox(after, context.sessions),
          detached: spec !== undefined,
          receipt,
        });
      });
      if (response.detached) changed(id, `provider ${request.provider} detached`);
      return response;
    },
    getSandboxProviderStatus(request) {
      const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
      if (request.provider === "") throw invalid("provider", "is required");
      const receipt = receiptOf(context, ProviderMutationKind.OBSERVE, record, request.provider);
      return { status: readinessOf(context, record, request.provider, receipt, request.receiptId) };
    },
  };
}
