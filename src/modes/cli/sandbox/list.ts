import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import type { Sandbox } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway, withGateway } from "../connection/gateway.ts";
import { sandboxData, sandboxTable } from "./view.ts";

/** One page; the gateway's maximum, so that a list takes few calls. */
const PAGE_SIZE = 1000;

/** Every sandbox of the workspace. */
export async function listSandboxes(gateway: Gateway, labelSelector = "", timeoutMs = CALL_TIMEOUT_MS): Promise<Sandbox[]> {
  const found: Sandbox[] = [];
  let pageToken = "";
  do {
    const page = await gateway.client.listSandboxes(
      { workspaceScope: gateway.scope, pageSize: PAGE_SIZE, pageToken, labelSelector },
      { timeoutMs },
    );
    found.push(...page.sandboxes);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return found;
}

export default defineCommand({
  meta: {
    name: "list",
    description: "List sandboxes",
    examples: ["openshell sandbox list", "openshell sandbox list --selector team=web -o json"],
  },
  args: {
    selector: { type: "string", valueHint: "KEY=VALUE,...", description: "Only those with these labels" },
    names: { type: "boolean", description: "Names only, one per line" },
    ids: { type: "boolean", description: "Ids only, one per line" },
    output: outputArg,
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      const sandboxes = await listSandboxes(gateway, args.selector);
      const names = sandboxes.map(({ metadata }) => (args.ids ? metadata?.id : metadata?.name) ?? "");
      const format = args.names || args.ids ? "name" : args.output;
      await print(format, { data: sandboxes.map(sandboxData), names, table: () => sandboxTable(sandboxes, terminal.style) }, terminal);
      return undefined;
    }),
});
