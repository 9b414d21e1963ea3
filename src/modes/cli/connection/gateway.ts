import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { GlobalValues } from "../../../command/define.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { fromConnectError } from "../../../rpc/errors.ts";
import { type WorkspaceSelector, WorkspaceSelectorSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { findGateway, type GatewayTarget, START_GATEWAY } from "./target.ts";
import { type InferenceClient, type OpenShellClient, openConnection } from "./transport.ts";

/** A gateway to call, and what every request names. */
export interface Gateway {
  readonly target: GatewayTarget;
  readonly client: OpenShellClient;
  readonly inference: InferenceClient;
  readonly workspace: string;
  /** `workspace_scope` of every request. */
  readonly scope: MessageInitShape<typeof WorkspaceSelectorSchema>;
}

/** A unary call answers within this, or is given up: the published clients' deadline. */
export const CALL_TIMEOUT_MS = 30_000;

/** What the global flags say about the gateway. */
export interface GatewayChoice {
  readonly globals: GlobalValues;
  readonly terminal: Terminal;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The gateway that flags, variables and files name. */
export function chosenGateway({ globals, terminal }: GatewayChoice): GatewayTarget {
  return findGateway({ endpoint: textOf(globals["gateway-endpoint"]), name: textOf(globals["gateway"]) }, terminal.env);
}

/** The workspace that flags and variables name. */
export function chosenWorkspace({ globals }: GatewayChoice): string {
  return textOf(globals["workspace"]) ?? "default";
}

/** An unreachable gateway in one sentence; what the network layer said stays in the cause. */
function explainCall(reason: unknown, target: GatewayTarget, insecure: boolean): OpenShellError {
  const error = fromConnectError(reason);
  if (error.next !== undefined) return error;
  const keep = { cause: reason, violations: error.violations };
  if (
    /ECONNREFUSED|ECONNRESET|ENOENT|ENOTFOUND|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|connection refused|Unable to connect/i.test(error.message)
  ) {
    return new OpenShellError("unavailable", `gateway '${target.name}' at ${target.endpoint} is not running`, {
      ...keep,
      next: START_GATEWAY,
    });
  }
  if (/certificate|CERT_|SSL|TLS|self.signed|unable to verify/i.test(error.message)) {
    return new OpenShellError(
      "unavailable",
      `gateway '${target.name}' at ${target.endpoint} is not the one that was registered (TLS verification failed)`,
      {
        ...keep,
        next: `${insecure ? "--gateway-insecure changes nothing, certificates are always verified; " : ""}check its certificate against ${target.directory}/mtls/ca.crt, or register it again`,
      },
    );
  }
  if (error.code === "deadline_exceeded") {
    return new OpenShellError(error.code, `gateway '${target.name}' did not answer in time`, { ...keep, next: "openshell status" });
  }
  if (error.code === "unimplemented")
    return new OpenShellError(error.code, error.message, {
      ...keep,
      next: "the gateway is older than this client; openshell status shows both",
    });
  return error;
}

/** Connects, runs `use`, closes; failures of calls come out as our errors with a next step. */
export async function withGateway<T>(choice: GatewayChoice, use: (gateway: Gateway) => Promise<T>): Promise<T> {
  const target = chosenGateway(choice);
  const workspace = chosenWorkspace(choice);
  const connection = openConnection(target);
  const scope: WorkspaceSelector = create(WorkspaceSelectorSchema, { selection: { case: "workspace", value: workspace } });
  try {
    return await use({ target, client: connection.client, inference: connection.inference, workspace, scope });
  } catch (reason) {
    if (reason instanceof OpenShellError) throw reason;
    if (reason instanceof Error && reason.name !== "ConnectError") throw reason;
    throw explainCall(reason, target, choice.globals["gateway-insecure"] === true);
  } finally {
    connection.close();
  }
}
