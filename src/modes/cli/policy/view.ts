import type { SandboxPolicy } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { PolicyStatus, type SandboxPolicyRevision } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { isoTime } from "../sandbox/view.ts";

/** `pending`, `loaded`, `failed`, `superseded`. */
export function revisionStatus(status: PolicyStatus): string {
  return (PolicyStatus[status] ?? `status ${status}`).toLowerCase();
}

/** A policy from the gateway as a person writes it. */
export async function authoredPolicy(policy: SandboxPolicy): Promise<unknown> {
  const { policyFromProto } = await import("../../../policy/proto.ts");
  const { toAuthored } = await import("../../../policy/to-authored.ts");
  return toAuthored(policyFromProto(policy));
}

/** A revision without its policy. */
export function revisionData(revision: SandboxPolicyRevision): Record<string, unknown> {
  return {
    version: revision.version,
    policy_hash: revision.policyHash,
    status: revisionStatus(revision.status),
    load_error: revision.loadError,
    created_at: isoTime(revision.createdTime) ?? null,
    loaded_at: isoTime(revision.loadedTime) ?? null,
    provenance: revision.provenance,
  };
}
