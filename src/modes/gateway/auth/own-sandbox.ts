import { type DescField, type DescMessage, isMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { OpenShellError } from "../../../error.ts";
import { WorkspaceSelectorSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import type { SandboxPrincipal } from "./principal.ts";

/** Fields by which a request names a sandbox: by id, or by name in the older and the newer style. */
const ID_FIELDS = new Set(["sandbox_id"]);
const NAME_FIELDS = new Set(["sandbox", "name"]);

/** Request fields that name a sandbox, in requests a sandbox may send; `name` counts there alone, where it can mean nothing else. */
export function sandboxFields(desc: DescMessage): DescField[] {
  return desc.fields.filter(
    (field) =>
      field.fieldKind === "scalar" && field.scalar === ScalarType.STRING && (ID_FIELDS.has(field.name) || NAME_FIELDS.has(field.name)),
  );
}

/**
 * A sandbox speaks for itself alone: every id, name and workspace in its request must be its own, and a field that could name a sandbox
 * must not be left empty. Nested session messages (`hello`) are looked into as well.
 */
export function requireOwnSandbox(desc: DescMessage, message: Message, principal: SandboxPrincipal): void {
  const view = reflect(desc, message);
  for (const field of sandboxFields(desc)) {
    const own = ID_FIELDS.has(field.name) ? principal.sandboxId : principal.name;
    if (view.get(field) !== own) throw new OpenShellError("permission_denied", "a sandbox may act only on itself");
  }
  for (const field of desc.fields) {
    if (field.fieldKind !== "message" || !view.isSet(field)) continue;
    const value = view.get(field).message;
    if (field.message.typeName === WorkspaceSelectorSchema.typeName) requireOwnWorkspace(value, principal);
    else if (field.oneof !== undefined) requireOwnSandbox(field.message, value, principal);
  }
}

function requireOwnWorkspace(value: Message, principal: SandboxPrincipal): void {
  if (isMessage(value, WorkspaceSelectorSchema)) {
    const { selection } = value;
    if (selection.case === "workspace" && selection.value === principal.workspace) return;
  }
  throw new OpenShellError("permission_denied", "a sandbox may act only in its own workspace");
}
