import { defineCommand } from "../../../command/define.ts";
import { asciiYaml, outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { renderFields } from "../../../command/table.ts";
import { OpenShellError } from "../../../error.ts";
import { type GetSandboxConfigResponse, PolicySource } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { SandboxPolicyRevision } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { rememberSandbox, sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { authoredPolicy, revisionData, revisionStatus } from "./view.ts";

const options = { timeoutMs: CALL_TIMEOUT_MS };
/** Revision numbers are 32 bits on the wire. */
const MAX_REVISION = 4_294_967_295;

async function effective(sandbox: string, gateway: Gateway): Promise<GetSandboxConfigResponse> {
  return gateway.client.getSandboxConfig({ workspaceScope: gateway.scope, name: sandbox }, options);
}

function revisionFields(revision: SandboxPolicyRevision, active: number): [string, string][] {
  const fields: [string, string][] = [
    ["Version", `${revision.version} (${revisionStatus(revision.status)}; active: ${active})`],
    ["Hash", printable(revision.policyHash)],
  ];
  if (revision.loadError !== "") fields.push(["Error", printable(revision.loadError)]);
  return fields;
}

export default defineCommand({
  meta: {
    name: "get",
    description: "Show the policy of a sandbox",
    examples: [
      "openshell policy get work",
      "openshell policy get work --rev 3",
      "openshell policy get work --base -o yaml",
      "openshell policy get work -o yaml > policy.yaml",
    ],
  },
  args: {
    name: optionalName,
    rev: {
      type: "string",
      integer: { min: 0, max: MAX_REVISION, default: 0 },
      valueHint: "N",
      description: "This revision; 0 is the one in effect",
    },
    full: { type: "boolean", description: "The one in effect, with the rules that providers add (the default)" },
    base: { type: "boolean", description: "The sandbox's own, without what providers add" },
    global: { type: "boolean", description: "The policy for all sandboxes" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    if (args.full && (args.base || args.rev > 0 || args.global)) {
      throw new OpenShellError("invalid_argument", "--full shows what is in effect, it cannot go with --base, --rev or --global");
    }
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      if (!args.global) rememberSandbox(sandbox, gateway, terminal);
      const { style } = terminal;
      if (args.global || args.base || args.rev > 0) {
        const request = { workspaceScope: gateway.scope, sandbox, version: args.rev, global: args.global ?? false };
        const { revision, activeVersion } = await gateway.client.getSandboxPolicyStatus(request, options);
        if (revision?.policy === undefined)
          throw new OpenShellError("not_found", "there is no such policy revision", { next: "openshell policy list" });
        const shown = await authoredPolicy(revision.policy);
        const table = async () => `${renderFields(revisionFields(revision, activeVersion), style)}\n${await asciiYaml(shown)}`;
        const data = args.output === "yaml" ? shown : { ...revisionData(revision), active_version: activeVersion, policy: shown };
        await print(args.output, { data, names: [String(revision.version)], table }, terminal);
        return undefined;
      }
      const config = await effective(sandbox, gateway);
      if (config.policy === undefined) {
        throw new OpenShellError("not_found", `sandbox '${sandbox}' has no policy yet: it is read from its files when it starts`, {
          next: `openshell sandbox get ${sandbox}`,
        });
      }
      const shown = await authoredPolicy(config.policy);
      const source = config.policySource === PolicySource.GLOBAL ? "global" : "sandbox";
      const table = async () =>
        `${renderFields(
          [
            ["Version", String(config.version)],
            ["Hash", printable(config.policyHash)],
            ["Source", source],
          ],
          style,
        )}\n${await asciiYaml(shown)}`;
      // yaml is the policy alone: what `policy set` and `sandbox create --policy` take.
      const data =
        args.output === "yaml" ? shown : { sandbox, version: config.version, policy_hash: config.policyHash, source, policy: shown };
      await print(args.output, { data, names: [String(config.version)], table }, terminal);
      return undefined;
    });
  },
});
