import { create } from "@bufbuild/protobuf";
import { PolicySource, type SandboxConfigSnapshot, SandboxConfigSnapshotSchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { ConfigurationAdmissionState } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { configRevision, decodePolicy } from "./service.ts";

/**
 * Everything a supervisor works from: pushed on its session and answered to its poll. The policy for all sandboxes comes first, with its
 * own version; version 0 without a policy means: none yet.
 */
export function configSnapshot(
  record: SandboxRecord,
  { policies, globalPolicy, settings }: Pick<GatewayContext, "policies" | "globalPolicy" | "settings">,
): SandboxConfigSnapshot {
  const forAll = globalPolicy.record();
  const policy = forAll ?? policies.latest(record.id);
  const source = forAll === undefined ? PolicySource.SANDBOX : PolicySource.GLOBAL;
  const effective = settings.effective(record.id);
  const admission = record.status.configurationAdmission;
  return create(SandboxConfigSnapshotSchema, {
    ...(policy === undefined ? {} : { policy: decodePolicy(policy) }),
    version: policy?.version ?? 0,
    policyHash: policy?.hash ?? "",
    settings: effective,
    configRevision: configRevision(`${source} ${policy?.version ?? 0} ${policy?.hash ?? ""}`, effective),
    policySource: source,
    globalPolicyVersion: forAll?.version ?? 0,
    workspace: record.workspace,
    settingsRevision: BigInt(settings.revision()),
    configurationAdmitted: admission?.state === ConfigurationAdmissionState.ACCEPTED,
    configurationInstanceId: record.instanceId,
    configurationError: admission?.error ?? "",
  });
}
