import { defineCommand } from "../../../command/define.ts";
import { type OutputFormat, outputArg, print } from "../../../command/output.ts";
import { OpenShellError } from "../../../error.ts";
import type { Policy } from "../../../policy/model.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { renderChanges } from "./changes.ts";
import { policyOf } from "./current.ts";
import { readPolicyFile } from "./file.ts";

/** Revision numbers are 32 bits on the wire. */
const MAX_REVISION = 4_294_967_295;

const revision = (description: string) =>
  ({ type: "string", integer: { min: 0, max: MAX_REVISION, default: 0 }, valueHint: "N", description }) as const;

export default defineCommand({
  meta: {
    name: "diff",
    description: "Show what differs between two revisions of a policy, or between a policy and a file",
    examples: [
      "openshell policy diff work                        # what the newest revision changed",
      "openshell policy diff work --policy policy.yaml   # what `policy set` would change",
      "openshell policy diff work --from 2 --to 5",
      "openshell policy diff work --global               # what the policy for all changes for this sandbox",
    ],
  },
  args: {
    name: optionalName,
    policy: { type: "string", valueHint: "FILE", description: "Compare with this file; - is standard input" },
    from: revision("Older revision; 0 is the newest"),
    to: revision("Newer revision; 0 is the newest"),
    global: { type: "boolean", description: "Compare with the policy for all sandboxes" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) => {
    if (args.policy !== undefined && (args.to > 0 || args.global)) {
      throw new OpenShellError("invalid_argument", "--policy is what to compare with, it cannot go with --to or --global");
    }
    const newest = args.policy === undefined && !args.global && args.from === 0 && args.to === 0;
    if (args.policy === undefined && !args.global && args.from === args.to && !newest) {
      throw new OpenShellError("invalid_argument", "--from and --to are the same revision", {
        next: "openshell policy list shows the revisions",
      });
    }
    return withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = sandboxName(args.name, gateway, terminal);
      const version = newest ? await versionBefore(sandbox, gateway) : args.from;
      const before = await policyOf(gateway, { sandbox, global: false, version });
      const after = await other(args, gateway, sandbox);
      const { diffPolicies } = await import("../../../policy/diff.ts");
      const changes = diffPolicies(before, after);
      const table = () => renderChanges(changes, terminal.style);
      await print(args.output as OutputFormat, { data: changes, names: changes.map(({ field }) => field), table }, terminal);
      return undefined;
    });
  },
});

/** The revision before the newest. */
async function versionBefore(sandbox: string, { client, scope }: Gateway): Promise<number> {
  const { revisions } = await client.listSandboxPolicies({ workspaceScope: scope, sandbox, pageSize: 2 }, { timeoutMs: CALL_TIMEOUT_MS });
  const version = revisions[1]?.version;
  if (version !== undefined) return version;
  throw new OpenShellError("failed_precondition", `the policy of '${sandbox}' has one revision only`, {
    next: "--policy FILE compares it with a file, --global with the policy for all sandboxes",
  });
}

function other(
  args: { policy: string | undefined; global: boolean | undefined; to: number },
  gateway: Gateway,
  sandbox: string,
): Promise<Policy> {
  if (args.policy !== undefined) return readPolicyFile(args.policy);
  return args.global ? policyOf(gateway, { sandbox: "", global: true }) : policyOf(gateway, { sandbox, global: false, version: args.to });
}
