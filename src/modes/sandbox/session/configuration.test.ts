import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { restrictiveDefault } from "../../../policy/defaults.ts";
import type { Policy } from "../../../policy/model.ts";
import { GetSandboxConfigResponseSchema, type SandboxPolicy } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SupervisorSpec } from "../../../supervisor-spec.ts";
import { firstConfiguration, retried } from "./configuration.ts";

/** A gateway that takes a first policy unless its user is a number. */
function gateway() {
  let stored: SandboxPolicy | undefined;
  const transport = createRouterTransport(({ service }) => {
    service(OpenShell, {
      getSandboxConfig: () => create(GetSandboxConfigResponseSchema, stored === undefined ? {} : { policy: stored, version: 1 }),
      updateConfig: ({ policy }) => {
        if (/^\d/.test(policy?.process?.runAsUser ?? "")) throw new ConnectError("process.run_as_user: not listed", Code.InvalidArgument);
        stored = policy;
        return {};
      },
    });
  });
  return createClient(OpenShell, transport);
}

const spec = { workspace: "default", sandboxName: "work" } as SupervisorSpec;
const found = (policy: Policy) => () => ({ policy, source: "/etc/openshell/policy.yaml", notes: [] });

test("case-17: a policy of the disk that the gateway refuses is not used, and the notes say why", async () => {
  const policy = { ...restrictiveDefault(), process: { runAsUser: "1234", runAsGroup: "sandbox" } };
  const { configuration, notes } = await firstConfiguration(gateway(), spec, found(policy));
  expect(configuration.policy).toEqual(restrictiveDefault());
  expect(notes.join("\n")).toMatch(/restrictive default[\s\S]*unsafe-disk-policy: \/etc\/openshell\/policy.yaml.*run_as_user/);
});

test("case-14: one that it takes is the policy", async () => {
  const policy = { ...restrictiveDefault(), landlock: { compatibility: "best_effort" as const } };
  const { configuration, notes } = await firstConfiguration(gateway(), spec, found(policy));
  expect(configuration.policy).toEqual(policy);
  expect(notes).toEqual(["policy from /etc/openshell/policy.yaml"]);
});

test("a gateway that goes away and comes back, whatever that looks like, is asked until it answers; what fails for itself is not", async () => {
  const failures = [Code.Unavailable, Code.Canceled, Code.Unavailable, Code.Canceled].map((code) => new ConnectError("x", code));
  let asked = 0;
  const answer = await retried(async () => {
    const failure = failures[asked++];
    if (failure !== undefined) throw failure;
    return "here";
  });
  expect([answer, asked]).toEqual(["here", 5]);
  expect(retried(() => Promise.reject(new ConnectError("no", Code.InvalidArgument)))).rejects.toThrow("no");
}, 30_000);
