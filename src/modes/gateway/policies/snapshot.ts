import { create } from "@bufbuild/protobuf";
import { PolicySource, type SandboxConfigSnapshot, SandboxConfigSnapshotSchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { ConfigurationAdmissionState } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SettingsService } from "../settings/service.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { configRevision, decodePolicy, type PolicyService } from "./service.ts";

/** Everything a supervisor works from: pushed on its session and answered to its poll. Version 0 without a policy means: none yet. */
export function configSnapshot(record: SandboxRecord, policies: PolicyService, settings: SettingsService): SandboxConfigSnapshot {
  const latest = policies.latest(record.id);
  const effective = settings.effective(record.id);
  const admission = record.status.configurationAdmission;
  return create(SandboxConfigSnapshotSchema, {
    ...(latest === undefined ? {} : { policy: decodePolicy(latest) }),
    version: latest?.version ?? 0,
    policyHash: latest?.hash ?? "",
    settings: effective,
    configRevision: configRevision(latest?.hash ?? "", effective),
    policySource: PolicySource.SANDBOX,
    workspace: record.workspace,
    settingsRevision: BigInt(settings.revision()),
    configurationAdmitted: admission?.state === ConfigurationAdmissionState.ACCEPTED,
    configurationInstanceId: record.instanceId,
    configurationError: admission?.error ?? "",
  });
}
