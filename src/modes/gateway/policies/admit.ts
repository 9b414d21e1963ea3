import { toBinary } from "@bufbuild/protobuf";
import { OpenShellError, type Violation } from "../../../error.ts";
import { policyHash } from "../../../policy/hash.ts";
import { MAX_POLICY_BYTES, PROVIDER_RULE_PREFIX } from "../../../policy/limits.ts";
import type { Policy } from "../../../policy/model.ts";
import { policyFromProto } from "../../../policy/proto.ts";
import { staticChanges } from "../../../policy/static.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import { type SandboxPolicy, SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { withoutDerived } from "../providers/effective-policy.ts";
import { atMost } from "../sandboxes/limits.ts";

/** The policy that a request carries, whole and valid, without what the gateway derives from providers; throws `invalid_argument` with every violation at once. */
export function admitPolicy(message: SandboxPolicy): Policy {
  atMost("policy", toBinary(SandboxPolicySchema, message).length, MAX_POLICY_BYTES, "bytes encoded");
  const policy = withoutDerived(policyFromProto(message));
  requireValid(policy);
  return policy;
}

export function requireValid(policy: Policy): void {
  refuse("the policy is not valid", [...reservedKeys(policy), ...validatePolicy(policy)]);
}

/** Rules that the gateway derives are never stored; one that came in under such a key would stay when its provider goes. */
function reservedKeys({ networkPolicies }: Policy): Violation[] {
  const reserved = Object.keys(networkPolicies).filter((key) => key.startsWith(PROVIDER_RULE_PREFIX));
  return reserved.map((key) => ({
    field: `network_policies.${key}`,
    message: `keys that begin with ${PROVIDER_RULE_PREFIX} are reserved`,
  }));
}

/** Landlock and process never change while a sandbox lives, filesystem paths may only be added. */
export function requireDynamic(current: Policy, next: Policy): void {
  refuse("the change touches what is fixed when a sandbox is created", staticChanges(current, next));
}

/** Whether `next` differs from `current` in nothing but additional filesystem paths: all that a sandbox may change by itself. */
export function onlyAddsPaths(current: Policy, next: Policy): boolean {
  if (staticChanges(current, next).length > 0) return false;
  const { filesystem: _, ...rest } = next;
  return policyHash(current.filesystem === undefined ? rest : { ...rest, filesystem: current.filesystem }) === policyHash(current);
}

function refuse(message: string, violations: readonly Violation[]): void {
  const [first] = violations;
  if (first === undefined) return;
  throw new OpenShellError("invalid_argument", `${message}: ${first.field}: ${first.message}`, { violations });
}
