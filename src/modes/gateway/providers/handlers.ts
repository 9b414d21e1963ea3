import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { SYSTEM_ROUTE } from "../../../inference/route.ts";
import type { Provider } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { ProviderSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import {
  DeleteProviderResponseSchema,
  DeletionOutcome,
  ProviderMutationKind,
  ProviderProfileSchema,
  ProviderResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { sandboxPrincipal } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { labelSelector } from "../rpc/labels.ts";
import { MAX_PAGE_BYTES, pageSize, pageToken, readPageToken } from "../rpc/paging.ts";
import type { Handlers } from "../rpc/service-impl.ts";
import { atMost, checkedTime, invalid } from "../sandboxes/limits.ts";
import { anyWorkspace, oneWorkspace } from "../sandboxes/workspace.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { attachmentHandlers } from "./attachments.ts";
import { environmentResponse, environmentSnapshot } from "./environment.ts";
import { MAX_CREDENTIAL_KEYS } from "./limits.ts";
import { allProfiles, findProfile } from "./profiles/catalogue.ts";
import { receiptOf } from "./readiness.ts";
import type { ProviderRecord } from "./repository.ts";
import { toProvider } from "./view.ts";

/** Providers, what is known of their kinds, and which sandbox may use which. */
export function providerHandlers(context: GatewayContext): Handlers {
  return { ...recordHandlers(context), ...profileHandlers(), ...attachmentHandlers(context), ...secretHandlers(context) };
}

function recordHandlers(context: GatewayContext): Handlers {
  const { providers, inference, repository, sessions, once, logs } = context;
  const users = ({ workspace, name }: ProviderRecord): SandboxRecord[] =>
    repository.all().filter((sandbox) => sandbox.workspace === workspace && sandbox.spec.providers.includes(name));
  return {
    createProvider(request, call) {
      const workspace = oneWorkspace(request.workspaceScope);
      const { provider } = request;
      if (provider === undefined) throw invalid("provider", "is required");
      return once(request, call, () => create(ProviderResponseSchema, { provider: toProvider(providers.create(workspace, provider)) }));
    },
    getProvider: ({ workspaceScope, name }) => ({ provider: toProvider(providers.find(workspaceScope, name)) }),
    listProviders(request) {
      const workspace = anyWorkspace(request.workspaceScope);
      const matches = labelSelector(request.labelSelector);
      const parameters = [workspace ?? "*", request.labelSelector];
      const { page, next } = paged(
        request,
        parameters,
        (after, limit) => providers.list(workspace, after, limit),
        ({ labels }) => matches(labels),
      );
      return { providers: page, nextPageToken: next };
    },
    updateProvider(request, call) {
      const { provider, clearCredentialExpirationKeys: clearExpirations } = request;
      if (provider === undefined) throw invalid("provider", "is required");
      const expirations = Object.fromEntries(
        Object.entries(request.credentialExpirationTimes).map(
          ([key, time]) => [key, checkedTime(`credential_expiration_times[${key}]`, time)] as const,
        ),
      );
      const changed: ProviderRecord[] = [];
      const response = once(request, call, () => {
        const record = providers.update(request.workspaceScope, { provider, expirations, clearExpirations });
        changed.push(record);
        const mutationId = randomUUID();
        const targetReceipts = users(record).map((user) => receiptOf(context, ProviderMutationKind.UPDATE, user, record.name, mutationId));
        return create(ProviderResponseSchema, { provider: toProvider(record), mutationId, targetReceipts });
      });
      // A replayed answer changed nothing.
      for (const { workspace, name } of changed) if (inference.usersOf(workspace, name).length > 0) sessions.pushConfigToAll();
      for (const sandbox of changed.flatMap(users)) {
        sessions.pushConfig(sandbox.id);
        logs.gateway(sandbox.id, "INFO", `provider ${provider.metadata?.name ?? ""} changed`);
      }
      return response;
    },
    deleteProvider(request, call) {
      return once(request, call, () => {
        try {
          const record = providers.find(request.workspaceScope, request.name);
          const [user, ...more] = users(record);
          if (user !== undefined) {
            throw new OpenShellError(
              "failed_precondition",
              `provider '${record.name}' is attached to ${user.name}${more.length > 0 ? ` and ${more.length} more sandboxes` : ""}`,
              { next: `openshell sandbox provider detach ${user.name} ${record.name}` },
            );
          }
          const [route] = inference.usersOf(record.workspace, record.name);
          if (route !== undefined) {
            throw new OpenShellError("failed_precondition", `provider '${record.name}' is used by the inference route ${route}`, {
              next: `openshell inference delete${route === SYSTEM_ROUTE ? " --system" : ""}`,
            });
          }
          providers.delete(record);
          return create(DeleteProviderResponseSchema, { outcome: DeletionOutcome.COMPLETED });
        } catch (error) {
          if (!request.allowMissing || !(error instanceof OpenShellError) || error.code !== "not_found") throw error;
          return create(DeleteProviderResponseSchema, { outcome: DeletionOutcome.ALREADY_ABSENT });
        }
      });
    },
  };
}

function profileHandlers(): Handlers {
  return {
    listProviderProfiles(request) {
      anyWorkspace(request.workspaceScope);
      const size = pageSize(request.pageSize);
      const after = readPageToken(request.pageToken, [])?.[0] ?? "";
      const profiles = allProfiles().filter(({ id }) => id > after);
      const page = profiles.slice(0, size);
      const last = page.at(-1);
      return { profiles: page, nextPageToken: page.length < profiles.length && last !== undefined ? pageToken([last.id], []) : "" };
    },
    getProviderProfile({ workspaceScope, id }) {
      anyWorkspace(workspaceScope);
      const profile = findProfile(id);
      if (profile === undefined)
        throw new OpenShellError("not_found", `provider profile '${id}' not found`, { next: "openshell provider list-profiles" });
      return { profile: create(ProviderProfileSchema, profile) };
    },
  };
}

/** The two calls whose answer is a secret: for the sandbox's own supervisor, and for an operator. */
function secretHandlers({ sandboxes, providers, clock }: GatewayContext): Handlers {
  return {
    getSandboxProviderEnvironment(_request, call) {
      const record = sandboxes.get(sandboxPrincipal(call).sandboxId);
      if (record === undefined) throw new OpenShellError("not_found", "sandbox not found");
      return environmentResponse(environmentSnapshot(providers.attachedTo(record), record.spec.providerAttachmentEpoch));
    },
    getProviderCredentials(request) {
      const { credentialKeys: keys } = request;
      if (keys.length === 0) throw invalid("credential_keys", "is empty");
      atMost("credential_keys", keys.length, MAX_CREDENTIAL_KEYS, "entries");
      const { credentials, expirations, name } = providers.find(request.workspaceScope, request.name);
      const needed = clock.now() + (request.minimumRemainingLifetime === undefined ? 0 : durationMs(request.minimumRemainingLifetime));
      return {
        credentials: Object.fromEntries(
          keys.map((key) => {
            const value = Object.hasOwn(credentials, key) ? credentials[key] : undefined;
            if (value === undefined) throw new OpenShellError("not_found", `provider '${name}' has no credential '${key}'`);
            const expires = expirations[key];
            if (expires !== undefined && expires < needed)
              throw new OpenShellError("failed_precondition", `credential '${key}' of provider '${name}' ends before it is needed`, {
                next: `openshell provider update ${name} --credential ${key}`,
              });
            return [key, { value, ...(expires === undefined ? {} : { expirationTime: timestampFromMs(expires) }) }];
          }),
        ),
      };
    },
  };
}

/** One page of records in order, as the API shows them, not larger than an answer may be. */
function paged(
  request: { readonly pageSize: number; readonly pageToken: string },
  parameters: readonly string[],
  read: (after: readonly [string, string], limit: number) => readonly ProviderRecord[],
  wanted: (record: ProviderRecord) => boolean,
): { page: Provider[]; next: string } {
  const PIECE = 100;
  const size = pageSize(request.pageSize);
  const bound = [...parameters, String(size)];
  const [afterWorkspace = "", afterName = ""] = readPageToken(request.pageToken, bound) ?? [];
  const page: Provider[] = [];
  let last: readonly [string, string] = [afterWorkspace, afterName];
  let bytes = 0;
  while (true) {
    const piece = read(last, PIECE);
    for (const record of piece) {
      const provider = wanted(record) ? toProvider(record) : undefined;
      bytes += provider === undefined ? 0 : toBinary(ProviderSchema, provider).length;
      if (page.length === size || (page.length > 0 && bytes > MAX_PAGE_BYTES)) return { page, next: pageToken(last, bound) };
      last = [record.workspace, record.name];
      if (provider !== undefined) page.push(provider);
    }
    if (piece.length < PIECE) return { page, next: "" };
  }
}
