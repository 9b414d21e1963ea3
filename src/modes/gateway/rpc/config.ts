import { create } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import { mergePolicy } from "../../../policy/merge-operations.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyToProto } from "../../../policy/proto.ts";
import { GetSandboxConfigResponseSchema, SandboxConfigSnapshotSchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  SandboxSpecSchema,
  type UpdateConfigRequest,
  type UpdateConfigResponse,
  UpdateConfigResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { principalKey } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { admitPolicy, onlyAddsPaths, requireDynamic, requireValid } from "../policies/admit.ts";
import { managedGlobally } from "../policies/global.ts";
import { configSnapshot, unchangedConfig } from "../policies/snapshot.ts";
import { requestedUid } from "../sandboxes/agent-uid.ts";
import { checkHostPaths } from "../sandboxes/host-paths.ts";
import { checkEntries } from "../sandboxes/limits.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import type { Handlers } from "./service-impl.ts";

/** Policy and settings: what a supervisor works from, and how people change it. */
export function configHandlers(context: GatewayContext): Handlers {
  const { sandboxes, settings, sessions, once } = context;
  return {
    getSandboxConfig({ workspaceScope, name, knownRevision }) {
      const { record } = sandboxes.find(workspaceScope, name);
      const unchanged = knownRevision === 0n ? undefined : unchangedConfig(record, context, knownRevision);
      if (unchanged !== undefined) return create(GetSandboxConfigResponseSchema, { ...unchanged, unchanged: true });
      const snapshot = configSnapshot(record, context);
      // The two messages have the same fields under the same names.
      const fields = Object.fromEntries(
        SandboxConfigSnapshotSchema.fields.map(({ localName }) => [localName, snapshot[localName as keyof typeof snapshot]]),
      );
      return create(GetSandboxConfigResponseSchema, fields);
    },
    getGatewayConfig: () => ({ settings: settings.global(), settingsRevision: BigInt(settings.revision()) }),

    updateConfig(request, call) {
      const kinds = [request.policy !== undefined, request.settingKey !== "", request.mergeOperations.length > 0].filter(Boolean).length;
      if (kinds !== 1) throw new OpenShellError("invalid_argument", "exactly one of policy, setting_key and merge_operations is required");
      checkEntries("annotations", request.annotations);
      if (request.global) return updateGlobal(context, request, call);
      const { record } = sandboxes.find(request.workspaceScope, request.sandbox);
      const response = once(request, call, () => updateSandbox(context, record.id, request, call));
      sessions.pushConfig(record.id);
      return response;
    },
  };
}

function updateGlobal(context: GatewayContext, request: UpdateConfigRequest, call: HandlerContext): UpdateConfigResponse {
  const { settings, sessions, once } = context;
  refuseSandbox(call);
  const response = once(request, call, () => {
    if (request.settingKey === GLOBAL_POLICY_KEY) return deleteGlobalPolicy(context, request);
    if (request.settingKey === "") return updateGlobalPolicy(context, request, call);
    const changed = settings.put(undefined, request.settingKey, settingOf(request));
    return create(UpdateConfigResponseSchema, { settingsRevision: BigInt(settings.revision()), deleted: request.deleteSetting && changed });
  });
  sessions.pushConfigToAll();
  return response;
}

/** The published clients delete the policy for all sandboxes as if it were a setting of this name. */
const GLOBAL_POLICY_KEY = "policy";

function updateGlobalPolicy({ globalPolicy, settings, options }: GatewayContext, request: UpdateConfigRequest, call: HandlerContext) {
  const current = globalPolicy.current();
  let next: Policy;
  if (request.policy !== undefined) next = admitPolicy(request.policy);
  else if (current === undefined) throw new OpenShellError("failed_precondition", "there is no global policy to change");
  else {
    next = mergePolicy(current.policy, request.mergeOperations);
    requireValid(next);
  }
  checkHostPaths(options.allowedMounts, [], next);
  refuseBindings(next);
  const { version, hash } = globalPolicy.commit(next, provenance(request, call));
  const settingsRevision = BigInt(settings.revision());
  return create(UpdateConfigResponseSchema, { version, policyHash: hash, settingsRevision, annotations: request.annotations });
}

/** A provider is attached to a sandbox; a policy for all of them cannot say whose secrets go where. */
function refuseBindings({ networkPolicies }: Policy): void {
  for (const [key, { endpoints }] of Object.entries(networkPolicies))
    for (const [index, { credentialBinding }] of endpoints.entries()) {
      if (credentialBinding === undefined) continue;
      const field = `network_policies.${key}.endpoints[${index}].credential_binding`;
      const message = "is for the policy of a sandbox, not for the policy of all";
      throw new OpenShellError("invalid_argument", `${field} ${message}`, { violations: [{ field, message }] });
    }
}

/** Sandboxes that never had a policy of their own get the restrictive one: they must not go on with what was just deleted. */
function deleteGlobalPolicy({ globalPolicy, policies, repository, settings }: GatewayContext, request: UpdateConfigRequest) {
  if (!request.deleteSetting) throw new OpenShellError("invalid_argument", "the global policy is set by policy, not by setting_value");
  const deleted = globalPolicy.delete();
  const without = deleted
    ? repository.all().filter(({ id, status }) => status.configurationAdmission && policies.latest(id) === undefined)
    : [];
  for (const { id } of without) {
    policies.commit(id, { expectedVersion: 0, policy: restrictiveDefault(), provenance: "the global policy was deleted" });
  }
  return create(UpdateConfigResponseSchema, { settingsRevision: BigInt(settings.revision()), deleted });
}

/** Runs inside a transaction, from the record as it is there. */
function updateSandbox(context: GatewayContext, id: string, request: UpdateConfigRequest, call: HandlerContext): UpdateConfigResponse {
  const { sandboxes, settings, policies } = context;
  const record = sandboxes.get(id);
  if (record === undefined || record.desired === "deleted") throw new OpenShellError("not_found", "sandbox not found");
  if (request.expectedResourceVersion !== 0n && request.expectedResourceVersion !== BigInt(record.resourceVersion)) {
    throw new OpenShellError(
      "aborted",
      `the sandbox is at resource version ${record.resourceVersion}, not ${request.expectedResourceVersion}`,
    );
  }
  if (request.settingKey !== "") {
    refuseSandbox(call);
    const changed = settings.put(id, request.settingKey, settingOf(request));
    return create(UpdateConfigResponseSchema, { settingsRevision: BigInt(settings.revision()), deleted: request.deleteSetting && changed });
  }
  if (policies.globalActive()) throw managedGlobally();
  const current = policies.current(id);
  const next = nextPolicy(context, record, current?.policy, request, call);
  const { version, hash } = policies.commit(id, {
    expectedVersion: current?.version ?? 0,
    policy: next,
    provenance: provenance(request, call),
  });
  if (current === undefined) {
    sandboxes.patch(id, { spec: create(SandboxSpecSchema, { ...record.spec, policy: policyToProto(next) }) });
  }
  return create(UpdateConfigResponseSchema, {
    version,
    policyHash: hash,
    settingsRevision: BigInt(settings.revision()),
    annotations: request.annotations,
  });
}

/** The whole policy after the request, with everything checked that depends on who asks and on what is in force. */
function nextPolicy(
  { options }: GatewayContext,
  record: SandboxRecord,
  current: Policy | undefined,
  request: UpdateConfigRequest,
  call: HandlerContext,
): Policy {
  const fromSandbox = call.values.get(principalKey).kind === "sandbox";
  if (request.policy === undefined) {
    refuseSandbox(call);
    if (current === undefined) throw new OpenShellError("failed_precondition", "the sandbox has no policy to change yet");
    const merged = mergePolicy(current, request.mergeOperations);
    requireValid(merged);
    return merged;
  }
  const next = admitPolicy(request.policy);
  // The uid was given when the sandbox was created; a policy that comes later can only name the same.
  requestedUid(next, [record.uid]);
  if (fromSandbox) {
    // What a sandbox says about paths never adds to its view, so the operator's prefixes do not apply (decisions 8 and 20).
    if (current === undefined || onlyAddsPaths(current, next)) return next;
    throw new OpenShellError(
      "permission_denied",
      "a sandbox may set its first policy and add filesystem paths; everything else is for people",
    );
  }
  checkHostPaths(options.allowedMounts, [], next);
  if (current !== undefined) requireDynamic(current, next);
  else if (record.spec.policy !== undefined) throw new OpenShellError("internal", "a sandbox with a policy has no revision");
  return next;
}

function refuseSandbox(call: HandlerContext): void {
  if (call.values.get(principalKey).kind === "sandbox")
    throw new OpenShellError("permission_denied", "a sandbox may set its own policy, nothing else");
}

function settingOf(request: UpdateConfigRequest): NonNullable<UpdateConfigRequest["settingValue"]> | "delete" {
  if (request.deleteSetting) return "delete";
  if (request.settingValue === undefined) throw new OpenShellError("invalid_argument", "setting_value is required");
  return request.settingValue;
}

function provenance(request: UpdateConfigRequest, call: HandlerContext): Record<string, string> {
  const principal = call.values.get(principalKey);
  const source = principal.kind === "sandbox" ? "sandbox" : "update_config";
  return { ...request.annotations, source, actor: principal.kind === "user" ? principal.subject : source };
}
