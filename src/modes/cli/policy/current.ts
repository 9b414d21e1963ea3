import { OpenShellError } from "../../../error.ts";
import type { Policy } from "../../../policy/model.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";

export interface PolicyChoice {
  readonly sandbox: string;
  readonly global: boolean;
  /** 0: the newest. */
  readonly version?: number;
}

/** A revision of a sandbox's own policy, or of the one for all; `not_found` when there is none. */
export async function policyOf(gateway: Gateway, { sandbox, global, version = 0 }: PolicyChoice): Promise<Policy> {
  const request = { workspaceScope: gateway.scope, sandbox, global, version };
  const { revision } = await gateway.client.getSandboxPolicyStatus(request, { timeoutMs: CALL_TIMEOUT_MS });
  if (revision?.policy === undefined)
    throw new OpenShellError("not_found", "there is no such policy revision", { next: "openshell policy list" });
  const { policyFromProto } = await import("../../../policy/proto.ts");
  return policyFromProto(revision.policy);
}
