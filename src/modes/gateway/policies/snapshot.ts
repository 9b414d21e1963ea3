import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { policyHash } from "../../../policy/hash.ts";
import { policyFromProto, policyToProto } from "../../../policy/proto.ts";
import {
  type GetSandboxConfigResponseSchema,
  PolicySource,
  type SandboxConfigSnapshot,
  SandboxConfigSnapshotSchema,
} from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { ConfigurationAdmissionState } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import { oneTimeRules } from "../drafts/lifetime.ts";
import { DraftRepository } from "../drafts/repository.ts";
import { effectivePolicy } from "../providers/effective-policy.ts";
import { environmentRevision } from "../providers/environment.ts";
import type { ProviderRecord } from "../providers/repository.ts";
import type { PolicyRevisionRecord } from "../store/policy-revisions.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { configRevision, decodePolicy } from "./service.ts";

/**
 * Everything a supervisor works from: pushed on its session and answered to its poll. The policy for all sandboxes comes first, with its
 * own version; version 0 without a policy means: none yet.
 */
export function configSnapshot(
  record: SandboxRecord,
  {
    policies,
    globalPolicy,
    settings,
    providers,
    store,
  }: Pick<GatewayContext, "policies" | "globalPolicy" | "settings" | "providers" | "store">,
): SandboxConfigSnapshot {
  const forAll = globalPolicy.record();
  const stored = forAll ?? policies.latest(record.id);
  const attached = providers.attachedTo(record);
  const policy = stored && inForce(stored, attached, forAll === undefined);
  const source = forAll === undefined ? PolicySource.SANDBOX : PolicySource.GLOBAL;
  const effective = settings.effective(record.id);
  const admission = record.status.configurationAdmission;
  return create(SandboxConfigSnapshotSchema, {
    ...(policy === undefined ? {} : { policy: policy.message }),
    version: policy?.version ?? 0,
    policyHash: policy?.hash ?? "",
    settings: effective,
    configRevision: revisionOf(source, policy, effective),
    policySource: source,
    globalPolicyVersion: forAll?.version ?? 0,
    workspace: record.workspace,
    providerEnvRevision: environmentRevision(attached),
    providerAttachmentEpoch: record.spec.providerAttachmentEpoch,
    settingsRevision: BigInt(settings.revision()),
    configurationAdmitted: admission?.state === ConfigurationAdmissionState.ACCEPTED,
    configurationInstanceId: record.instanceId,
    configurationError: admission?.error ?? "",
    oneTimeRules: forAll === undefined ? oneTimeRules(new DraftRepository(store.db), record.id) : [],
  });
}

/**
 * What a poll is answered that knows the present revision: everything but what is large, and no policy is read for it. Undefined when something
 * else is in force, or what is cannot be told without the policy itself: that of a sandbox with providers.
 */
export function unchangedConfig(
  record: SandboxRecord,
  { policies, globalPolicy, settings, providers }: Pick<GatewayContext, "policies" | "globalPolicy" | "settings" | "providers">,
  knownRevision: bigint,
): MessageInitShape<typeof GetSandboxConfigResponseSchema> | undefined {
  const attached = providers.attachedTo(record);
  const forAll = globalPolicy.record();
  const stored = forAll ?? policies.latest(record.id);
  if (attached.length > 0 || stored === undefined) return undefined;
  const source = forAll === undefined ? PolicySource.SANDBOX : PolicySource.GLOBAL;
  const { version, hash } = stored;
  if (revisionOf(source, { version, hash }, settings.effective(record.id)) !== knownRevision) return undefined;
  return {
    version,
    policyHash: hash,
    configRevision: knownRevision,
    policySource: source,
    providerEnvRevision: environmentRevision(attached),
  };
}

function revisionOf(source: PolicySource, policy: { version: number; hash: string } | undefined, settings: Effective): bigint {
  return configRevision(`${source} ${policy?.version ?? 0} ${policy?.hash ?? ""}`, settings);
}

type Effective = Parameters<typeof configRevision>[1];

type Stored = Pick<PolicyRevisionRecord, "version" | "hash" | "policy">;

/** What a supervisor enforces of a stored policy: with the rules and marks that its providers bring. */
function inForce(stored: Stored, attached: readonly ProviderRecord[], addRules: boolean) {
  const { version, hash } = stored;
  const message = decodePolicy(stored);
  if (attached.length === 0) return { version, hash, message };
  const effective = effectivePolicy(policyFromProto(message), attached, { addRules });
  return { version, hash: policyHash(effective), message: policyToProto(effective) };
}
