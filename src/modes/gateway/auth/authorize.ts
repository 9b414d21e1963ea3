import { type DescMethod, type ExtensionValueShape, getOption, hasOption } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { authorization } from "../../../rpc/gen/openshell/options/v1/options_pb.ts";
import type { Principal } from "./principal.ts";

/** Services of gRPC itself, whose files carry no option of ours. */
const STANDARD: ReadonlyMap<string, "anyone" | "users"> = new Map([
  ["grpc.health.v1.Health", "anyone"],
  ["grpc.reflection.v1.ServerReflection", "users"],
  ["grpc.reflection.v1alpha.ServerReflection", "users"],
]);

function authorizeStandard(who: "anyone" | "users", principal: Principal): void {
  if (principal.kind === "user" || (who === "anyone" && principal.kind === "none")) return;
  if (principal.kind === "none") throw needsCredential();
  throw new OpenShellError("permission_denied", "this service is not open to sandboxes");
}

function needsCredential(): OpenShellError {
  return new OpenShellError("unauthenticated", "this call needs a client certificate or a bearer token", {
    next: "use the registration that the gateway wrote: openshell gateway select openshell",
  });
}

type Rule = ExtensionValueShape<typeof authorization>;

const rules = new Map<DescMethod, Rule | undefined>();

/** Remembered per method: to read an option costs more than to decide by it. */
function ruleOf(method: DescMethod): Rule | undefined {
  const known = rules.get(method);
  if (known !== undefined || rules.has(method)) return known;
  const rule = hasOption(method, authorization) ? getOption(method, authorization) : undefined;
  rules.set(method, rule);
  return rule;
}

/**
 * Decides from the method's `authorization` option alone whether a kind of caller may call it; throws the refusal. A method without the
 * option, or with a mode this gateway does not know, is closed to everyone.
 */
export function authorize(method: DescMethod, principal: Principal): void {
  const standard = STANDARD.get(method.parent.typeName);
  if (standard !== undefined) {
    authorizeStandard(standard, principal);
    return;
  }
  const rule = ruleOf(method);
  if (rule === undefined) throw new OpenShellError("permission_denied", `${method.name} declares no caller and is closed`);
  if (principal.kind === "sandbox" && principal.token === "agent") {
    if (rule.agent) return;
    throw new OpenShellError("permission_denied", `${method.name} is not open to the inside of a sandbox`);
  }
  if (rule.authMode === "unauthenticated") return;
  if (principal.kind === "none") throw needsCredential();
  switch (rule.authMode) {
    case "bearer":
      if (principal.kind === "user") return;
      throw new OpenShellError("permission_denied", `${method.name} is for users, not for sandboxes`);
    case "dual":
      return;
    case "sandbox":
      if (principal.kind === "sandbox") return;
      throw new OpenShellError("permission_denied", "this method requires a sandbox principal");
    case "operator":
      if (principal.kind === "user" && principal.operator) return;
      throw new OpenShellError("permission_denied", `${method.name} is for operators`);
    default:
      throw new OpenShellError("permission_denied", `${method.name} is for "${rule.authMode}" callers, which this gateway does not have`);
  }
}
