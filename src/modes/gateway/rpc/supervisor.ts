import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import {
  ConfigurationAdmissionState,
  FinalizeMainProcessExitResponseSchema,
  PolicyStatus,
  ReportMainProcessExitResponseSchema,
  ReportPolicyStatusResponseSchema,
  ReportSandboxConfigurationResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { sandboxPrincipal } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { policyLoaded } from "../policies/acknowledge.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import type { Handlers } from "./service-impl.ts";

/** What only supervisors call: their session, relays, tokens and reports. */
export function supervisorHandlers(context: GatewayContext): Handlers {
  const { sandboxes, sessions, relays, tokens, log } = context;
  /** Reports of an instance that the gateway has replaced must not touch the new one. */
  const instance = (sandboxId: string, instanceId: string): SandboxRecord => {
    const record = sandboxes.get(sandboxId);
    if (record === undefined) throw new OpenShellError("not_found", "sandbox not found");
    if (record.instanceId !== instanceId)
      throw new OpenShellError("failed_precondition", "this supervisor is not the one the gateway started for the sandbox");
    return record;
  };
  return {
    connectSupervisor: (messages, call) => sessions.connect(sandboxPrincipal(call), messages, call.signal),
    relayStream: (frames, call) => relays.accept(sandboxPrincipal(call), frames, call.signal),

    async issueSandboxToken(_request, call) {
      // What the control plane seen from inside a sandbox carries; the supervisor has its own token already.
      const { token, expires } = await tokens.issue(sandboxPrincipal(call).sandboxId, "agent");
      return { token, expirationTime: timestampFromMs(expires) };
    },
    async refreshSandboxToken(_request, call) {
      const { sandboxId } = sandboxPrincipal(call);
      const supervisor = await tokens.issue(sandboxId, "supervisor");
      return { token: supervisor.token, expirationTime: timestampFromMs(supervisor.expires), sessionId: sessions.get(sandboxId)?.id ?? "" };
    },

    reportPolicyStatus({ version, status, loadError }, call) {
      const { sandboxId } = sandboxPrincipal(call);
      if (status !== PolicyStatus.LOADED && status !== PolicyStatus.FAILED)
        throw new OpenShellError("invalid_argument", "status is LOADED or FAILED");
      if (!policyLoaded(context, sandboxId, { version, loaded: status === PolicyStatus.LOADED, error: loadError })) {
        throw new OpenShellError("not_found", `there is no policy version ${version}`);
      }
      return create(ReportPolicyStatusResponseSchema);
    },
    reportSandboxConfiguration({ admission, expectedInstanceId, madeConfiguration }, call) {
      if (madeConfiguration.length > 0) {
        const { id } = instance(sandboxPrincipal(call).sandboxId, expectedInstanceId);
        sandboxes.madeConfiguration(id, madeConfiguration);
        if (admission === undefined) return create(ReportSandboxConfigurationResponseSchema);
      }
      if (admission === undefined || admission.state === ConfigurationAdmissionState.UNSPECIFIED) {
        throw new OpenShellError("invalid_argument", "admission with a state is required");
      }
      const { sandboxId } = sandboxPrincipal(call);
      instance(sandboxId, expectedInstanceId === "" ? admission.instanceId : expectedInstanceId);
      sandboxes.admission(sandboxId, admission);
      return create(ReportSandboxConfigurationResponseSchema);
    },

    reportMainProcessExit({ instanceId, exitCode }, call) {
      const { id } = instance(sandboxPrincipal(call).sandboxId, instanceId);
      sandboxes.apply(id, { kind: "main-exited", exitCode });
      return create(ReportMainProcessExitResponseSchema);
    },
    finalizeMainProcessExit({ instanceId }, call) {
      const record = instance(sandboxPrincipal(call).sandboxId, instanceId);
      if (record.spec.keep === false) {
        // Not awaited: the deletion ends the supervisor that waits for this answer.
        void sandboxes.delete(record).catch((error) => log("error", `sandbox ${record.name} could not be removed`, error));
      }
      return create(FinalizeMainProcessExitResponseSchema);
    },
  };
}
