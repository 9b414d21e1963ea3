import type { Violation } from "../error.ts";
import { pathsBeyondView } from "./host-view.ts";
import { PROVIDER_RULE_PREFIX } from "./limits.ts";
import type { Policy } from "./model.ts";

/** What a valid policy says that a gateway refuses, or takes only when its operator has allowed it. `sandbox run` alone takes all of it. */
export function gatewayWarnings(policy: Policy): Violation[] {
  const warnings: Violation[] = [];
  for (const key of Object.keys(policy.networkPolicies)) {
    if (!key.startsWith(PROVIDER_RULE_PREFIX)) continue;
    const message = `a gateway refuses it: keys that begin with ${PROVIDER_RULE_PREFIX} are for rules that it adds itself`;
    warnings.push({ field: `network_policies.${key}`, message });
  }
  for (const { field, path } of pathsBeyondView(policy)) {
    warnings.push({
      field,
      message: `a gateway refuses ${path} unless its operator allows it: openshell gateway serve --allow-mount ${path}`,
    });
  }
  const { runAsUser = "", runAsGroup = "" } = policy.process ?? {};
  if (/^\d+$/.test(runAsUser)) {
    const message = `a gateway refuses uid ${runAsUser} unless its operator lists it: openshell gateway serve --allow-uid ${runAsUser}`;
    warnings.push({ field: "process.run_as_user", message });
  }
  if (/^\d+$/.test(runAsGroup) && runAsGroup !== runAsUser) {
    warnings.push({ field: "process.run_as_group", message: "a gateway refuses a group that is not the user's number" });
  }
  return warnings;
}
