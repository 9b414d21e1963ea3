import { OpenShellError } from "../../../error.ts";
import type { WorkspaceSelector } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";

/** The one workspace there is until workspaces are managed. */
export const DEFAULT_WORKSPACE = "default";

/** The workspace a request is about; a list may mean all of them, which is undefined. */
export function anyWorkspace(scope: WorkspaceSelector | undefined): string | undefined {
  if (scope?.selection.case === "allWorkspaces") return undefined;
  return oneWorkspace(scope);
}

/** The one workspace a request is about. */
export function oneWorkspace(scope: WorkspaceSelector | undefined): string {
  const selection = scope?.selection;
  if (selection?.case === "allWorkspaces") throw refused("this call is about one workspace, not all of them");
  if (selection?.case !== "workspace" || selection.value === "") throw refused("workspace_scope is required");
  if (selection.value !== DEFAULT_WORKSPACE) {
    throw new OpenShellError("not_found", `workspace '${selection.value}' not found`, {
      next: `the workspace '${DEFAULT_WORKSPACE}' always exists`,
    });
  }
  return selection.value;
}

function refused(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "workspace_scope", message }] });
}
