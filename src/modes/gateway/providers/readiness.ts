import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ConfigurationAdmissionState,
  type ProviderDesiredIdentity,
  ProviderDesiredIdentitySchema,
  type ProviderMutationKind,
  type ProviderMutationReceipt,
  ProviderMutationReceiptSchema,
  type ProviderReadinessObservation,
  ProviderReadinessObservationSchema,
  ProviderReadinessReason,
  ProviderReadinessState,
  type ProviderReadinessStatus,
  ProviderReadinessStatusSchema,
  type SandboxConfigurationAdmission,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import { configSnapshot } from "../policies/snapshot.ts";
import { invalid } from "../sandboxes/limits.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { environmentRevision } from "./environment.ts";

type Needs = Pick<GatewayContext, "policies" | "globalPolicy" | "settings" | "providers" | "sessions" | "clock" | "store">;

const { PENDING, READY, FAILED, REVOKED, SUPERSEDED } = ProviderReadinessState;
const { UNSPECIFIED, WAITING_FOR_SUPERVISOR, WAITING_FOR_CREDENTIALS, POLICY_ACTIVATION_FAILED, DESIRED_STATE_CHANGED } =
  ProviderReadinessReason;

/** What was asked of a sandbox's providers, so that a caller can ask later whether it has come about. Nothing is stored: the receipt says it all. */
export function receiptOf(
  context: Needs,
  kind: ProviderMutationKind,
  sandbox: SandboxRecord,
  provider: string,
  mutationId = randomUUID(),
): ProviderMutationReceipt {
  const desired = desiredOf(context, sandbox, provider);
  return create(ProviderMutationReceiptSchema, {
    receiptId: Buffer.from(JSON.stringify([sandbox.id, provider, String(desired.providerEnvRevision)])).toString("base64url"),
    ...{ mutationId, provider, workspace: sandbox.workspace, kind, desired },
    persistedTime: timestampFromMs(context.clock.now()),
  });
}

/** Whether the supervisor works with what is wanted now. `receiptId`: empty, or of a change of this provider in this sandbox. */
export function readinessOf(
  context: Needs,
  sandbox: SandboxRecord,
  provider: string,
  receipt: ProviderMutationReceipt,
  receiptId: string,
): ProviderReadinessStatus {
  const asked = receiptId === "" ? undefined : revisionIn(receiptId, sandbox.id, provider);
  const { state, reason } = stateOf(context, sandbox, provider, asked);
  const admission = sandbox.status.configurationAdmission;
  const ready = state === READY || state === REVOKED;
  const now = timestampFromMs(context.clock.now());
  return create(ProviderReadinessStatusSchema, {
    ...{ receipt, state, reason, evaluatedTime: now },
    ...(admission === undefined
      ? {}
      : {
          observedTime: now,
          observed: context.sessions.get(sandbox.id)?.readiness ?? acknowledged(context, sandbox, admission, ready, reason),
        }),
  });
}

/** What follows from a supervisor's acknowledgement, while it has not said more. */
function acknowledged(
  context: Needs,
  sandbox: SandboxRecord,
  admission: SandboxConfigurationAdmission,
  ready: boolean,
  reason: ProviderReadinessReason,
): ProviderReadinessObservation {
  return create(ProviderReadinessObservationSchema, {
    sessionId: context.sessions.get(sandbox.id)?.id ?? "",
    attachmentEpoch: sandbox.spec.providerAttachmentEpoch,
    providerEnvRevision: admission.providerEnvRevision,
    configRevision: admission.configRevision,
    policyHash: admission.policyHash,
    credentialsInstalled: ready,
    policyActive: admission.state === ConfigurationAdmissionState.ACCEPTED,
    launchEnvironmentInstalled: ready,
    processInstanceId: admission.instanceId,
    reason,
  });
}

function desiredOf(context: Needs, sandbox: SandboxRecord, provider: string): ProviderDesiredIdentity {
  const snapshot = configSnapshot(sandbox, context);
  const record = context.providers.attachedTo(sandbox).find(({ name }) => name === provider);
  return create(ProviderDesiredIdentitySchema, {
    sandboxId: sandbox.id,
    sandbox: sandbox.name,
    attachmentEpoch: sandbox.spec.providerAttachmentEpoch,
    providerId: record?.id ?? "",
    providerResourceVersion: BigInt(record?.resourceVersion ?? 0),
    providerEnvRevision: snapshot.providerEnvRevision,
    configRevision: snapshot.configRevision,
    policyHash: snapshot.policyHash,
  });
}

function stateOf({ providers, sessions }: Needs, sandbox: SandboxRecord, provider: string, asked: bigint | undefined) {
  const attached = providers.attachedTo(sandbox);
  const wanted = environmentRevision(attached);
  const admission = sandbox.status.configurationAdmission;
  if (asked !== undefined && asked !== wanted) return { state: SUPERSEDED, reason: DESIRED_STATE_CHANGED };
  if (sessions.get(sandbox.id) === undefined) return { state: PENDING, reason: WAITING_FOR_SUPERVISOR };
  if (admission?.state === ConfigurationAdmissionState.REJECTED) return { state: FAILED, reason: POLICY_ACTIVATION_FAILED };
  if (admission?.providerEnvRevision !== wanted) return { state: PENDING, reason: WAITING_FOR_CREDENTIALS };
  return { state: attached.some(({ name }) => name === provider) ? READY : REVOKED, reason: UNSPECIFIED };
}

function revisionIn(receiptId: string, sandboxId: string, provider: string): bigint {
  try {
    const [sandbox, name, revision] = JSON.parse(Buffer.from(receiptId, "base64url").toString()) as unknown[];
    if (sandbox === sandboxId && name === provider && typeof revision === "string" && /^\d{1,20}$/.test(revision)) return BigInt(revision);
  } catch {
    // Told below.
  }
  throw invalid("receipt_id", "is no receipt of a change of this provider in this sandbox");
}
