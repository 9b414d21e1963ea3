import { describe, expect, test } from "bun:test";
import { getOption, hasOption } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { authorization } from "../../../rpc/gen/openshell/options/v1/options_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { authorize } from "./authorize.ts";
import { sandboxFields } from "./own-sandbox.ts";
import type { Principal } from "./principal.ts";

const sandbox = { kind: "sandbox", sandboxId: "s", name: "n", workspace: "default" } as const;
const callers = {
  none: { kind: "none" },
  user: { kind: "user", subject: "u@h", provider: "mtls", operator: false },
  operator: { kind: "user", subject: "u@h", provider: "mtls", operator: true },
  supervisor: { ...sandbox, token: "supervisor" },
  agent: { ...sandbox, token: "agent" },
} satisfies Record<string, Principal>;
type Caller = keyof typeof callers;

/** Who gets in by each mode; written down here so that a change of the code shows. */
const open: Record<string, readonly Caller[]> = {
  unauthenticated: ["none", "user", "operator", "supervisor"],
  bearer: ["user", "operator"],
  dual: ["user", "operator", "supervisor"],
  sandbox: ["supervisor"],
  operator: ["operator"],
  peer: [],
};

const methods = [...OpenShell.methods, ...Inference.methods];

describe("every method and every kind of caller", () => {
  for (const method of methods) {
    test(method.name, () => {
      expect(hasOption(method, authorization)).toBe(true);
      const rule = getOption(method, authorization);
      const admitted = (Object.keys(callers) as Caller[]).filter((caller) => {
        try {
          authorize(method, callers[caller]);
          return true;
        } catch (error) {
          expect(OpenShellError.from(error).code).toBe(caller === "none" ? "unauthenticated" : "permission_denied");
          return false;
        }
      });
      expect(admitted).toEqual([...(open[rule.authMode] ?? []), ...(rule.agent ? (["agent"] as const) : [])]);
    });
  }

  test("the inside of a sandbox gets four reading methods", () => {
    const names = methods.filter((method) => getOption(method, authorization).agent).map((method) => method.name);
    expect(names.sort()).toEqual(["GetDraftPolicy", "GetSandbox", "GetSandboxConfig", "Health"]);
  });

  test("every request that a sandbox may send names the sandbox, or can mean no other", () => {
    const selfless = methods.filter((method) => {
      const rule = getOption(method, authorization);
      return (rule.authMode === "sandbox" || rule.authMode === "dual" || rule.agent) && sandboxFields(method.input).length === 0;
    });
    // Sessions name the sandbox in hello, a relay by a channel that is bound to it; the others have no such field.
    expect(selfless.map((method) => method.name).sort()).toEqual([
      "ConnectSupervisor",
      "GetInferenceBundle",
      "Health",
      "IssueSandboxToken",
      "RefreshSandboxToken",
      "RelayStream",
    ]);
  });
});
