import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { renderTable } from "../../../command/table.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { sandboxName } from "../last-sandbox.ts";
import { optionalName } from "../sandbox/arguments.ts";
import { tableTime } from "../sandbox/view.ts";
import { revisionData, revisionStatus } from "./view.ts";

/** Letters of a hash in the table; json has it whole. */
const HASH_LETTERS = 12;

export default defineCommand({
  meta: { name: "list", description: "List the revisions of a policy, newest first", examples: ["openshell policy list work"] },
  args: {
    name: optionalName,
    limit: { type: "string", integer: { min: 1, max: 1000, default: 20 }, valueHint: "N", description: "At most this many" },
    global: { type: "boolean", description: "Revisions of the policy for all sandboxes" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandbox = args.global ? "" : sandboxName(args.name, gateway, terminal);
      const request = { workspaceScope: gateway.scope, sandbox, pageSize: args.limit, global: args.global ?? false };
      const { revisions } = await gateway.client.listSandboxPolicies(request, { timeoutMs: CALL_TIMEOUT_MS });
      const rows = () =>
        revisions.map((r) => [
          String(r.version),
          revisionStatus(r.status),
          r.policyHash.slice(0, HASH_LETTERS),
          tableTime(r.createdTime),
          tableTime(r.loadedTime),
          r.loadError || "-",
        ]);
      await print(
        args.output,
        {
          data: revisions.map(revisionData),
          names: revisions.map(({ version }) => String(version)),
          table: () =>
            revisions.length === 0
              ? "No policy revisions found.\n"
              : renderTable(["VERSION", "STATUS", "HASH", "CREATED", "LOADED", "ERROR"], rows(), terminal.style),
        },
        terminal,
      );
      return undefined;
    }),
});
