import { create } from "@bufbuild/protobuf";
import { asciiYaml } from "../../../command/output.ts";
import { type NetworkPolicyRule, SandboxPolicySchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";

/** A rule as a person writes it in a policy file, in printable ASCII. */
export async function ruleYaml(key: string, rule: NetworkPolicyRule): Promise<string> {
  const { policyFromProto } = await import("../../../policy/proto.ts");
  const { toAuthored } = await import("../../../policy/to-authored.ts");
  const policy = policyFromProto(create(SandboxPolicySchema, { version: 1, networkPolicies: { [key]: rule } }));
  return asciiYaml({ network_policies: toAuthored(policy).network_policies });
}
