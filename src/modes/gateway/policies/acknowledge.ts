import { create } from "@bufbuild/protobuf";
import {
  ConfigApplyOutcome,
  type ConfigUpdateResult,
  SandboxConfigurationAdmissionSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayContext } from "../context.ts";
import type { Session } from "../relay/sessions.ts";

type Needs = Pick<GatewayContext, "sandboxes" | "policies" | "logs">;

/** The last line about a policy that each session brought: every pushed configuration names the policy, also where only a setting changed. */
const told = new WeakMap<Session, string>();

/** A supervisor loaded a policy version, or could not. False when there is no such version. */
export function policyLoaded(
  context: Needs,
  sandboxId: string,
  { version, loaded, error }: { version: number; loaded: boolean; error: string },
  session?: Session,
): boolean {
  const tell = (policy: string): void => {
    const message = loaded ? `${policy} loaded` : `${policy} was not loaded: ${error}`;
    if (session !== undefined && told.get(session) === message) return;
    if (session !== undefined) told.set(session, message);
    context.logs.gateway(sandboxId, loaded ? "INFO" : "WARN", message);
  };
  if (context.policies.globalActive()) {
    // The version is one of the policy for all sandboxes, which has no state per sandbox.
    tell(`global policy version ${version}`);
    return true;
  }
  const known = context.policies.acknowledge(sandboxId, version, loaded ? { loaded } : { loaded, error });
  if (!known) return false;
  if (loaded) context.sandboxes.patchStatus(sandboxId, { currentPolicyVersion: version });
  tell(`policy version ${version}`);
  return true;
}

/** The answer to a pushed configuration. `version` is the policy version that was pushed; undefined for an update nobody remembers. */
export function configApplied(context: Needs, session: Session, result: ConfigUpdateResult, version: number | undefined): void {
  const failed = FAILURES.has(result.outcome);
  const error = result.failure?.message ?? result.policyLoad?.error ?? "";
  if (result.policyLoad !== undefined) policyLoaded(context, session.sandboxId, result.policyLoad, session);
  else if (version !== undefined && version > 0 && (failed || result.outcome === ConfigApplyOutcome.APPLIED)) {
    policyLoaded(context, session.sandboxId, { version, loaded: !failed, error }, session);
  }
  const { admission } = result;
  if (admission === undefined) return;
  // The session says which instance speaks, whatever the message claims.
  context.sandboxes.admission(
    session.sandboxId,
    create(SandboxConfigurationAdmissionSchema, { ...admission, instanceId: session.instanceId }),
  );
}

const FAILURES: ReadonlySet<ConfigApplyOutcome> = new Set([
  ConfigApplyOutcome.FAILED_CLOSED,
  ConfigApplyOutcome.FAILED_RETAINED_LAST_KNOWN_GOOD,
  ConfigApplyOutcome.UNSUPPORTED,
]);
