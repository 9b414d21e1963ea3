import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { type Workspace, WorkspacePhase, WorkspaceSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import type { GatewayContext } from "../context.ts";
import { DEFAULT_WORKSPACE } from "../sandboxes/workspace.ts";
import { labelSelector } from "./labels.ts";
import { pageSize, readPageToken } from "./paging.ts";
import type { Handlers } from "./service-impl.ts";

/** The workspace `default`, which always exists. */
export function workspaceHandlers(_context: GatewayContext): Handlers {
  return {
    getWorkspace({ name }) {
      if (name === DEFAULT_WORKSPACE) return { workspace: defaultWorkspace() };
      throw new OpenShellError("not_found", `workspace '${name}' not found`);
    },
    listWorkspaces({ pageSize: size, pageToken, labelSelector: selector }) {
      pageSize(size);
      const position = readPageToken(pageToken, [selector]);
      return { workspaces: position === undefined && labelSelector(selector)({}) ? [defaultWorkspace()] : [] };
    },
  };
}

function defaultWorkspace(): Workspace {
  return create(WorkspaceSchema, {
    metadata: {
      id: DEFAULT_WORKSPACE,
      name: DEFAULT_WORKSPACE,
      workspace: DEFAULT_WORKSPACE,
      createdTime: timestampFromMs(0),
      resourceVersion: 1n,
    },
    status: { phase: WorkspacePhase.ACTIVE },
  });
}
