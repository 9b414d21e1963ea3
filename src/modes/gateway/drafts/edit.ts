import { OpenShellError } from "../../../error.ts";
import type { NetworkRule } from "../../../policy/model.ts";
import { ruleFromProto } from "../../../policy/proto.ts";
import { validatePolicy } from "../../../policy/validate.ts";
import type { NetworkPolicyRule } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { classifyAddress, parseNetwork } from "./address.ts";
import type { Chunk } from "./chunk.ts";
import { type OwnEndpoint, refuseDestination } from "./destination.ts";
import { baseName } from "./known.ts";
import { isPrintable } from "./text.ts";

/**
 * Reads the rule that a person put in place of a proposal. A person may write patterns and ranges, which then flag the chunk;
 * what no approval could ever allow is refused here as well. Whether it fits the policy is for the caller to validate.
 */
export function readEdit(chunk: Chunk, proposed: NetworkPolicyRule | undefined, own: OwnEndpoint): NetworkRule {
  if (!proposed || proposed.endpoints.length === 0 || proposed.binaries.length === 0) {
    throw invalid("proposed_rule needs at least one endpoint and one binary");
  }
  const rule = ruleFromProto(proposed, chunk.ruleName);
  for (const { path } of rule.binaries) {
    if (!isPrintable(path)) throw invalid("a binary holds characters outside printable ASCII");
    if (baseName(path) === "openshell") throw invalid("no rule may match the openshell executable");
  }
  for (const endpoint of rule.endpoints) {
    if (!isPrintable(endpoint.host)) throw invalid("a host holds characters outside printable ASCII");
    const refusal = refuseDestination(endpoint, own);
    if (refusal) throw invalid(refusal.reason);
    for (const entry of endpoint.allowedIps) {
      const network = parseNetwork(entry);
      if (network && classifyAddress(network[0]).class === "blocked") throw invalid(`allowed_ips: ${entry} is never reachable`);
    }
  }
  const [violation] = validatePolicy({ version: 1, networkPolicies: { [chunk.ruleName]: rule } }, { authored: true });
  if (violation) throw invalid(`${violation.field}: ${violation.message}`);
  // These two say where a rule comes from; only the gateway's own parts may set them.
  return {
    ...rule,
    name: chunk.ruleName,
    endpoints: rule.endpoints.map((endpoint) => ({ ...endpoint, advisorProposed: false, providerCredentialed: false })),
  };
}

function invalid(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { next: "correct the rule and edit again" });
}
