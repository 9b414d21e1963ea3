import { toBinary } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { policyHash } from "../../../policy/hash.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyFromProto, policyToProto } from "../../../policy/proto.ts";
import { SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { GlobalPolicyRecord, GlobalPolicyRepository } from "../store/global-policies.ts";
import { decodePolicy, type PolicyRevision } from "./service.ts";

/** The policy for all sandboxes: while there is one it is in force in each of them, whatever their own says. */
export interface GlobalPolicyService {
  record(): GlobalPolicyRecord | undefined;
  current(): PolicyRevision | undefined;
  get(version: number): GlobalPolicyRecord | undefined;
  list(before: number, limit: number): GlobalPolicyRecord[];
  /** Puts a policy in force; the same one again changes nothing. */
  commit(policy: Policy, provenance: Readonly<Record<string, string>>): { readonly version: number; readonly hash: string };
  /** Gives the sandboxes their own policies back; false when there was nothing to delete. */
  delete(): boolean;
}

export function globalPolicyService(repository: GlobalPolicyRepository, clock: { now(): number }): GlobalPolicyService {
  return {
    record: () => repository.active(),
    current() {
      const record = repository.active();
      return record && { version: record.version, hash: record.hash, policy: policyFromProto(decodePolicy(record)) };
    },
    get: (version) => repository.get(version),
    list: (before, limit) => repository.list(before, limit),
    commit(policy, provenance) {
      const hash = policyHash(policy);
      const active = repository.active();
      if (active?.hash === hash) return { version: active.version, hash };
      const bytes = toBinary(SandboxPolicySchema, policyToProto(policy));
      return { version: repository.replace({ hash, policy: bytes, createdAt: clock.now(), provenance }), hash };
    },
    delete: () => repository.end(clock.now()),
  };
}

/** The refusal of every change to a sandbox's own policy while one for all is in force. */
export function managedGlobally(): OpenShellError {
  return new OpenShellError(
    "failed_precondition",
    "policy is managed globally; delete the global policy before the policy of a sandbox is changed",
    { next: "openshell policy delete --global" },
  );
}
