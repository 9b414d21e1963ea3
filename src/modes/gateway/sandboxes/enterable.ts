import { OpenShellError } from "../../../error.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";
import { acceptsCommands, isComingUp } from "./lifecycle.ts";

/**
 * Throws `failed_precondition` unless the sandbox can be entered: it is up, has ended with its supervisor still there, or its supervisor is
 * there or coming back.
 */
export function requireEnterable(record: SandboxRecord, hasSession: (sandboxId: string) => boolean): void {
  const { status, instanceId, id, name } = record;
  const reconnecting = isComingUp(status) && status.configurationAdmission?.instanceId === instanceId;
  if (acceptsCommands(status) || reconnecting || (isComingUp(status) && hasSession(id))) return;
  const [ready] = status.conditions;
  throw new OpenShellError("failed_precondition", `sandbox is not ready: ${ready?.message ?? "it has not started"}`, {
    next: `openshell sandbox get ${name}`,
  });
}
